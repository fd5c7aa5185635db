// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wrap_weight.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/model/checked_cast.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {

nlohmann::json WrapAttributes(const LinearWeight& base) {
  nlohmann::json json = {{"base", {{"format", std::string(base.format())}}}};
  nlohmann::json attributes =
      nlohmann::json::parse(base.attributes(), nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(attributes.is_object(), "the attributes of a weight of format ",
              std::string(base.format()), " are no JSON object: ", base.attributes());
  if (!attributes.empty()) json["base"]["attributes"] = std::move(attributes);
  return json;
}

absl::StatusOr<std::unique_ptr<LinearWeight>> BaseFromState(
    const JsonFields& attributes, const WeightState& state,
    std::initializer_list<const char*> added, const WeightFormatRegistry& formats) {
  WeightState rest = state;
  for (const char* name : added) {
    const auto found = rest.find(name);
    if (found == rest.end() || !found->second.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the weight needs the tensor ", name, ", which is missing"));
    }
    rest.erase(found);
  }
  WANLITE_ASSIGN_OR_RETURN(const JsonFields base, attributes.Object("base"));
  WANLITE_RETURN_IF_ERROR(base.OnlyHas({"format", "attributes"}));
  std::string format;
  WANLITE_RETURN_IF_ERROR(base.String({"format"}, format));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields base_attributes, base.Object("attributes"));
  absl::StatusOr<std::unique_ptr<LinearWeight>> weight =
      formats.Build(format, rest, base_attributes.Text());
  if (!weight.ok()) return Annotate(weight.status(), "base");
  return weight;
}

absl::Status CheckBase(absl::string_view format, const LinearWeight* base,
                       std::initializer_list<const char*> added) {
  if (base == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("a weight of format ", format, " needs a base"));
  }
  for (const WeightTensor& state : base->State()) {
    for (const char* name : added) {
      if (state.name != name) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("a weight of format ", format, " adds the tensor ", name,
                       ", which its base of format ", std::string(base->format()), " has"));
    }
  }
  return absl::OkStatus();
}

at::Tensor SelectFrom(const at::Tensor& tensor, int64_t dim, const at::Tensor& index) {
  const at::NoGradGuard no_grad;
  if (!nn::IsHollow(tensor)) {
    return tensor.detach().index_select(dim, index.to(tensor.device()));
  }
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape.at(dim) = index.numel();
  const nn::HollowGuard hollow;
  return nn::NewTensor(shape, tensor.scalar_type());
}

at::Tensor CopyOf(const at::Tensor& tensor) {
  return SelectFrom(tensor, 0, at::arange(tensor.size(0)));
}

bool IsHollowWeight(const LinearWeight& weight) {
  const std::vector<WeightTensor> states = weight.State();
  return std::any_of(states.begin(), states.end(),
                     [](const WeightTensor& state) { return nn::IsHollow(state.tensor); });
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MergeDense(const LinearWeight& weight,
                                                         const LinearWeight& base) {
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    const at::NoGradGuard no_grad;
    const at::ScalarType dtype = base.dense() == nullptr ? at::kFloat : base.dense()->scalar_type();
    if (IsHollowWeight(weight)) {
      const nn::HollowGuard hollow;
      return MakeDenseWeight(nn::NewTensor({weight.out_features(), weight.in_features()}, dtype));
    }
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix,
                             CheckedCast(weight.Dequantize(), dtype, "the merged weight"));
    return MakeDenseWeight(matrix);
  });
}

}  // namespace wanlite
