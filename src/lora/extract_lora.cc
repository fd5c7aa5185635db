// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/lora/lora_file.h"
#include "src/lora/lora_names.h"
#include "src/model/checked_cast.h"
#include "src/model/tensor_text.h"
#include "src/quant/randomized_svd.h"
#include "wanlite/checkpoint.h"
#include "wanlite/lora.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// The denoiser that both models have.
absl::StatusOr<std::string> ComparedComponent(const ModelView& base, const ModelView& tuned,
                                              const std::string& wanted) {
  std::vector<std::string> there;
  for (const Component& component : tuned.components()) {
    if (component.role == ComponentRole::kDenoiser && base.FindComponent(component.name) != nullptr)
      there.push_back(component.name);
  }
  if (wanted.empty() && there.size() == 1) return there.front();
  if (std::find(there.begin(), there.end(), wanted) != there.end()) return wanted;
  if (there.empty()) return absl::NotFoundError("the models have no denoiser in common");
  return absl::InvalidArgumentError(
      absl::StrCat(wanted.empty() ? "say which denoiser is meant"
                                  : absl::StrCat("both models have no denoiser '", wanted, "'"),
                   ", there are: ", absl::StrJoin(there, ", ")));
}

// The least rank, of those found, that leaves at most `allowed` of the matrix, squared. beyond:
// what all of them together leave.
int64_t RankFor(const at::Tensor& singular_values, double beyond, double allowed) {
  const at::Tensor values = singular_values.to(at::kDouble).contiguous();
  int64_t rank = values.numel();
  for (double left = beyond; rank > 1; --rank) {
    const double value = values.const_data_ptr<double>()[rank - 1];
    left += value * value;
    if (left > allowed) break;
  }
  return rank;
}

class Extraction {
 public:
  Extraction(ModelView& base, ModelView& tuned, const Component& component,
             const LoraExtraction& options)
      : base_(base), tuned_(tuned), component_(component), options_(options) {}

  absl::Status AddBlock(const std::string& block) {
    WANLITE_ASSIGN_OR_RETURN(const BlockLease of_base, base_.Lease(block));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease of_tuned, tuned_.Lease(block));
    for (const LinearInfo& linear : tuned_.linears()) {
      if (linear.block != block) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options_.cancel));
      WANLITE_RETURN_IF_ERROR(AddLinear(linear.path));
    }
    for (const NamedTensor& named : of_tuned.State()) {
      const size_t dot = named.name.rfind('.');
      const std::string owner = dot == std::string::npos ? "" : named.name.substr(0, dot);
      const bool bias = absl::EndsWith(named.name, ".bias");
      if (!bias && tuned_.FindLinear(owner) != nullptr) continue;
      WANLITE_RETURN_IF_ERROR(AddTensor(named, owner, bias));
    }
    return absl::OkStatus();
  }

  std::vector<NamedTensor> tensors;
  std::vector<std::string> without_names;
  LoraExtractionReport report;
  double squared_error = 0, squared_norm = 0;

 private:
  std::string Inside(const std::string& path) const {
    return component_.name.empty() ? path : path.substr(component_.name.size() + 1);
  }

  absl::Status AddLinear(const std::string& path) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* now, tuned_.Weight(path));
    const absl::StatusOr<const LinearWeight*> was = base_.Weight(path);
    if (!was.ok() || (*was)->in_features() != now->in_features() ||
        (*was)->out_features() != now->out_features()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, " is [", now->out_features(), ", ", now->in_features(), "], and in the base ",
          was.ok() ? absl::StrCat("[", (*was)->out_features(), ", ", (*was)->in_features(), "]")
                   : std::string("not there")));
    }
    const int64_t most = std::min({options_.rank, now->in_features(), now->out_features()});
    WANLITE_ASSIGN_OR_RETURN(const std::string prefix,
                             LayerPrefix(component_, Inside(path), options_.naming));
    return CatchTorch([&]() -> absl::Status {
      const at::NoGradGuard no_grad;
      const at::Tensor difference = now->Dequantize() - (*was)->Dequantize();
      const double norm = difference.square().sum(at::kDouble).item<double>();
      if (!std::isfinite(norm)) {
        return absl::InvalidArgumentError(absl::StrCat(path, " holds a NaN or an infinity"));
      }
      if (norm == 0) {
        ++report.unchanged;
        return absl::OkStatus();
      }
      const LowRankFactors factors = RandomizedSvd(difference, most);
      int64_t rank = most;
      if (options_.tolerance > 0) {
        const at::Tensor found =
            (factors.left * factors.singular_values.unsqueeze(0)).matmul(factors.right);
        rank = RankFor(factors.singular_values,
                       (difference - found).square().sum(at::kDouble).item<double>(),
                       options_.tolerance * options_.tolerance * norm);
      }
      const at::Tensor root = factors.singular_values.narrow(0, 0, rank).clamp_min(0).sqrt();
      WANLITE_ASSIGN_OR_RETURN(
          const at::Tensor a,
          CheckedCast(factors.right.narrow(0, 0, rank) * root.unsqueeze(1), options_.dtype, path));
      WANLITE_ASSIGN_OR_RETURN(
          const at::Tensor b,
          CheckedCast(factors.left.narrow(1, 0, rank) * root.unsqueeze(0), options_.dtype, path));
      squared_norm += norm;
      squared_error += (difference - b.to(at::kFloat).matmul(a.to(at::kFloat)))
                           .square()
                           .sum(at::kDouble)
                           .item<double>();
      tensors.push_back({prefix + EndingOfA(options_.naming), a.contiguous()});
      tensors.push_back({prefix + EndingOfB(options_.naming), b.contiguous()});
      ++report.layers;
      report.largest_rank = std::max(report.largest_rank, rank);
      return absl::OkStatus();
    });
  }

  absl::Status AddTensor(const NamedTensor& now, const std::string& owner, bool bias) {
    const absl::StatusOr<at::Tensor> was = base_.FindTensor(now.name);
    if (!was.ok() || was->sizes() != now.tensor.sizes()) {
      return absl::InvalidArgumentError(absl::StrCat(now.name, " is ", TensorText(now.tensor),
                                                     ", and in the base ",
                                                     was.ok() ? TensorText(*was) : "not there"));
    }
    if (!now.tensor.is_floating_point()) return absl::OkStatus();
    at::Tensor difference;
    WANLITE_RETURN_IF_ERROR(CatchTorch(
        [&] { difference = now.tensor.detach().to(at::kFloat) - was->detach().to(at::kFloat); }));
    if (at::count_nonzero(difference).item<int64_t>() == 0) return absl::OkStatus();
    std::string name = absl::StrCat("diffusion_model.", Inside(owner));
    if (bias) {
      absl::StrAppend(&name, ".diff_b");
    } else if (absl::EndsWith(now.name, ".weight")) {
      absl::StrAppend(&name, ".diff");
    } else if (absl::EndsWith(now.name, ".modulation")) {
      absl::StrAppend(&name, ".diff_m");
    } else {
      name = absl::StrCat("diffusion_model.", Inside(now.name), ".diff");
    }
    if (options_.naming != LoraNaming::kComfy) {
      without_names.push_back(now.name);
      return absl::OkStatus();
    }
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor cast,
                             CheckedCast(difference, options_.dtype, now.name));
    tensors.push_back({name, cast});
    ++report.differences;
    return absl::OkStatus();
  }

  ModelView& base_;
  ModelView& tuned_;
  const Component& component_;
  const LoraExtraction& options_;
};

}  // namespace

absl::StatusOr<LoraExtractionReport> ExtractLora(Env& env, ModelView& base, ModelView& tuned,
                                                 absl::string_view path,
                                                 const LoraExtraction& options) {
  if (options.rank < 1) {
    return absl::InvalidArgumentError(absl::StrCat("rank is ", options.rank, ", not at least 1"));
  }
  if (!(options.tolerance >= 0 && options.tolerance < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tolerance is ", options.tolerance, ", not in [0, 1)"));
  }
  if (options.dtype != at::kFloat && options.dtype != at::kBFloat16 && options.dtype != at::kHalf) {
    return absl::InvalidArgumentError("a LoRA file is of fp32, bf16 or fp16");
  }
  WANLITE_RETURN_IF_ERROR(env.CheckOutputFile(path));
  WANLITE_ASSIGN_OR_RETURN(const std::string name,
                           ComparedComponent(base, tuned, options.component));
  const Component& component = *tuned.FindComponent(name);
  const auto origins = [&](const ModelView& model) {
    std::vector<std::pair<std::string, std::string>> blocks;
    for (const BlockInfo& block : model.blocks()) {
      if (model.ComponentOf(block.path).name == name) blocks.emplace_back(block.path, block.origin);
    }
    return blocks;
  };
  if (origins(base) != origins(tuned)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has other blocks in the two models, which a LoRA file cannot say"));
  }
  Extraction extraction(base, tuned, component, options);
  std::vector<std::string> blocks;
  for (const BlockInfo& block : tuned.blocks()) {
    if (tuned.ComponentOf(block.path).name == name) blocks.push_back(block.path);
  }
  ProgressSink& progress = options.progress != nullptr ? *options.progress : SilentProgress();
  progress.Begin("extract", static_cast<int64_t>(blocks.size()));
  absl::Status status;
  for (size_t i = 0; i < blocks.size() && status.ok(); ++i) {
    status = extraction.AddBlock(blocks[i]);
    progress.Update(static_cast<int64_t>(i + 1), blocks[i]);
  }
  progress.End();
  WANLITE_RETURN_IF_ERROR(status);
  if (!extraction.without_names.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        extraction.without_names.size(), " tensors that are no matrices differ, ",
        extraction.without_names.front(), " among them, and the naming comfy alone can say so"));
  }
  if (extraction.tensors.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(name, " is the same in both models"));
  }
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env, path, extraction.tensors, {{"format", "pt"}, {kLoraComponentKey, name}})
          .status());
  extraction.report.error = extraction.squared_norm == 0
                                ? 0
                                : std::sqrt(extraction.squared_error / extraction.squared_norm);
  return extraction.report;
}

}  // namespace wanlite
