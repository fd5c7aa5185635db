// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/select_linears.h"

#include "absl/strings/str_cat.h"
#include "src/core/glob.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

bool FitsAny(const ModelView& model, const std::string& pattern) {
  for (const LinearInfo& linear : model.linears()) {
    if (GlobMatch(pattern, linear.path)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<LinearSelection> SelectLinears(const ModelView& model,
                                              const std::vector<std::string>& include,
                                              const std::vector<std::string>& exclude) {
  const std::string example = model.linears().empty() ? std::string("it has none")
                                                      : absl::StrCat("its linears are named like ",
                                                                     model.linears()[0].path);
  for (size_t i = 0; i < include.size(); ++i) {
    if (FitsAny(model, include[i])) continue;
    return OptionError(absl::StrCat("include[", i, "]"),
                       absl::StrCat("the pattern \"", include[i],
                                    "\" fits no linear layer of the model; ", example));
  }
  LinearSelection selection;
  for (const std::string& pattern : exclude) {
    if (FitsAny(model, pattern)) continue;
    selection.notes.push_back(
        absl::StrCat("the exclude pattern \"", pattern, "\" fits no linear layer"));
  }
  for (const LinearInfo& linear : model.linears()) {
    const bool wanted =
        include.empty()
            ? !linear.sensitive && model.ComponentOf(linear.path).role == ComponentRole::kDenoiser
            : AnyGlobMatches(include, linear.path);
    if (wanted && !AnyGlobMatches(exclude, linear.path)) selection.linears.push_back(linear);
  }
  if (selection.linears.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no linear layer is selected: ",
        include.empty() ? "the model has no denoiser with linears that are not sensitive and not "
                          "excluded; name layers with include"
                        : "every included layer is excluded again",
        "; ", example));
  }
  return selection;
}

absl::StatusOr<const LinearWeight*> DenseWeightOf(const ModelView& model,
                                                  const std::string& linear) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
  if (weight->format() != "dense") {
    return absl::InvalidArgumentError(
        absl::StrCat(linear, ": its weight has the format ", std::string(weight->format()),
                     ", this pass takes dense weights; exclude the layer or run the pass earlier"));
  }
  return weight;
}

int64_t StoredBytes(const std::vector<NamedTensor>& tensors) {
  int64_t bytes = 0;
  for (const NamedTensor& named : tensors) {
    bytes += named.tensor.numel() * static_cast<int64_t>(named.tensor.element_size());
  }
  return bytes;
}

}  // namespace wanlite
