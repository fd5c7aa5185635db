// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/metrics/extractors.h"
#include "src/metrics/torchscript_file.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// i3d_torchscript.pt, 51,235,320 bytes, that StyleGAN-V (Skorokhodov et al. 2022) published; the
// digest is the one that several independent evaluation packages check their download against.
constexpr absl::string_view kPublishedI3d[] = {
    "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2"};

constexpr int64_t kI3dSize = 224;
constexpr int64_t kI3dFrames = 16;

constexpr char kWantedSignatures[] =
    "forward(x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor, or "
    "forward(x: Tensor) -> Tensor";

enum class Convention { kI3d, kGeneric };

bool IsTensor(const c10::TypePtr& type) { return type->kind() == c10::TypeKind::TensorType; }

// Nothing when the signature is neither of the two.
std::optional<Convention> FindConvention(const c10::FunctionSchema& schema) {
  const auto& arguments = schema.arguments();  // the first is the module itself
  if (arguments.size() < 2 || !IsTensor(arguments[1].type())) return std::nullopt;
  if (schema.returns().size() != 1 || !IsTensor(schema.returns()[0].type())) return std::nullopt;
  size_t named = 0;
  for (size_t i = 2; i < arguments.size(); ++i) {
    const bool known = arguments[i].name() == "rescale" || arguments[i].name() == "resize" ||
                       arguments[i].name() == "return_features";
    if (known && arguments[i].type()->kind() == c10::TypeKind::BoolType) {
      ++named;
    } else if (!arguments[i].default_value().has_value()) {
      return std::nullopt;
    }
  }
  if (named == 3) return Convention::kI3d;
  return named == 0 && arguments.size() == 2 ? std::optional(Convention::kGeneric) : std::nullopt;
}

// "forward(Tensor x, bool rescale) -> Tensor", for messages.
std::string SignatureText(const c10::FunctionSchema& schema) {
  std::vector<std::string> arguments, returns;
  for (size_t i = 1; i < schema.arguments().size(); ++i) {
    const c10::Argument& argument = schema.arguments()[i];
    arguments.push_back(absl::StrCat(argument.name(), ": ", argument.type()->str()));
  }
  for (const c10::Argument& result : schema.returns()) returns.push_back(result.type()->str());
  return absl::StrCat("forward(", absl::StrJoin(arguments, ", "), ") -> ",
                      absl::StrJoin(returns, ", "));
}

std::string FileStem(absl::string_view path) {
  const std::string name = Basename(path);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

class TorchScriptFeatures : public FeatureExtractor {
 public:
  TorchScriptFeatures(torch::jit::Module module, Convention convention, bool pinned,
                      std::string path, std::string digest)
      : module_(std::move(module)),
        convention_(convention),
        path_(std::move(path)),
        digest_(std::move(digest)) {
    const bool i3d = convention == Convention::kI3d;
    preprocessing_ =
        i3d ? absl::StrCat("first ", kI3dFrames, " frames, whole frames to ", kI3dSize, "x",
                           kI3dSize, ", bilinear without corner alignment or antialiasing, [-1, 1]")
            : "all frames at their own size, [-1, 1]";
    if (pinned) {
      name_ = "FVD";
      return;
    }
    name_ = absl::StrCat("FD-", FileStem(path_));
    absl::StrAppend(&preprocessing_, i3d ? "; not FVD: the file is not the published I3D"
                                         : "; not FVD: another network");
  }

  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  const std::string& preprocessing() const override { return preprocessing_; }
  int64_t dim() const override { return dim_.load(std::memory_order_relaxed); }

  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    WANLITE_RETURN_IF_ERROR(CheckClip(clip));
    absl::StatusOr<at::Tensor> result = CatchTorch([&] { return Run(clip); });
    if (!result.ok()) {
      return absl::Status(
          absl::IsResourceExhausted(result.status()) ? absl::StatusCode::kResourceExhausted
                                                     : absl::StatusCode::kInvalidArgument,
          absl::StrCat(path_, " failed on a clip of ", clip.size(0), " frames of ", clip.size(2),
                       "x", clip.size(1), ", which may be too few or too small for this network: ",
                       FailureText(result.status().message())));
    }
    if (!result->defined() || result->dim() != 2 || result->size(0) != 1 || result->size(1) < 1 ||
        !result->is_floating_point()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": forward returned ",
                       result->defined() ? absl::StrCat(c10::toString(result->scalar_type()), " [",
                                                        absl::StrJoin(result->sizes(), ", "), "]")
                                         : "nothing",
                       ", wanted floating [1, features]"));
    }
    int64_t known = 0;
    if (!dim_.compare_exchange_strong(known, result->size(1)) && known != result->size(1)) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": forward returned ", result->size(1),
                                                     " features, ", known, " for an earlier clip"));
    }
    return CatchTorch([&]() -> at::Tensor { return (*result)[0].to(at::kFloat).clone(); });
  }

 private:
  at::Tensor Run(const at::Tensor& clip) const {
    const at::NoGradGuard no_grad;
    // Else the first clips, which LibTorch observes, would go through other arithmetic than later
    // ones.
    const torch::jit::GraphOptimizerEnabledGuard no_fusion(false);
    torch::jit::Method forward = module_.get_method("forward");
    if (convention_ == Convention::kGeneric) return forward({ClipToVideo(clip)}).toTensor();
    const at::Tensor frames =
        clip.narrow(0, 0, std::min(clip.size(0), kI3dFrames)).permute({0, 3, 1, 2}).to(at::kFloat);
    const at::Tensor resized =
        at::upsample_bilinear2d(frames, {kI3dSize, kI3dSize},
                                /*align_corners=*/false);  // [F, 3, 224, 224]
    const at::Tensor video = (resized / 127.5 - 1).transpose(0, 1).unsqueeze(0).contiguous();
    return forward({video}, {{"rescale", false}, {"resize", false}, {"return_features", true}})
        .toTensor();
  }

  torch::jit::Module module_;
  Convention convention_;
  std::string path_, digest_, name_, preprocessing_;
  mutable std::atomic<int64_t> dim_{0};
};

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenTorchScript(Env& env, absl::string_view path,
                                                                  const ExtractorOptions& options) {
  WANLITE_ASSIGN_OR_RETURN(TorchScriptFile file, LoadTorchScript(env, path));
  const auto forward = file.module.find_method("forward");
  if (!forward.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has no method forward; wanted ", kWantedSignatures));
  }
  const c10::FunctionSchema& schema = forward->function().getSchema();
  const std::optional<Convention> convention = FindConvention(schema);
  if (!convention.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", SignatureText(schema), "; wanted ", kWantedSignatures));
  }
  bool pinned = std::find(std::begin(kPublishedI3d), std::end(kPublishedI3d), file.digest) !=
                std::end(kPublishedI3d);
  for (const std::string& pin : options.fvd_sha256) {
    pinned = pinned || absl::EqualsIgnoreCase(pin, file.digest);
  }
  return std::make_unique<TorchScriptFeatures>(std::move(file.module), *convention,
                                               pinned && *convention == Convention::kI3d,
                                               std::string(path), std::move(file.digest));
}

}  // namespace wanlite
