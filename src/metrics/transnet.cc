// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/metrics/feature_extractor.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int kStages = 3;
constexpr int kCells = 2;  // dilated cells per stage
constexpr std::array<int64_t, 4> kDilations{1, 2, 4, 8};
constexpr int64_t kFilters = 16;  // of the first stage; doubles per stage
constexpr int64_t kHeight = 27, kWidth = 48;
constexpr double kBatchNormEps = 1e-3;

int64_t StageWidth(int stage) { return 4 * (kFilters << stage); }

class TransNetV2 : public FeatureExtractor {
 public:
  TransNetV2(std::map<std::string, at::Tensor> weights, std::string digest)
      : weights_(std::move(weights)), digest_(std::move(digest)) {}

  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  const std::string& preprocessing() const override { return preprocessing_; }
  int64_t dim() const override { return StageWidth(0) + StageWidth(1) + StageWidth(2); }

  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    if (!clip.defined() || clip.scalar_type() != at::kByte || clip.dim() != 4 ||
        clip.size(3) != 3 || clip.numel() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("a clip must be uint8 [frames, height, width, 3], got ",
                       clip.defined() ? absl::StrCat(c10::toString(clip.scalar_type()), " [",
                                                     absl::StrJoin(clip.sizes(), ", "), "]")
                                      : "nothing"));
    }
    return CatchTorch([&]() -> at::Tensor {
      at::NoGradGuard no_grad;
      // [F, H, W, 3] -> [F, 3, 27, 48], back on 8 bits as the network was trained
      at::Tensor x = at::_upsample_bilinear2d_aa(clip.permute({0, 3, 1, 2}).to(at::kFloat),
                                                 {kHeight, kWidth}, /*align_corners=*/false);
      x = x.round().clamp(0, 255) / 255.0;
      x = x.permute({1, 0, 2, 3}).unsqueeze(0);  // [1, 3, F, 27, 48]
      std::vector<at::Tensor> features;
      for (int stage = 0; stage < kStages; ++stage) {
        x = Stage(x, stage);
        features.push_back(x.mean({0, 2, 3, 4}));
      }
      return at::cat(features);
    });
  }

 private:
  const at::Tensor& Weight(const std::string& name) const { return weights_.at(name); }

  // (2+1)-D convolutions at four temporal dilations side by side, then batch norm.
  at::Tensor Cell(const at::Tensor& x, const std::string& path) const {
    std::vector<at::Tensor> branches;
    for (const int64_t dilation : kDilations) {
      const std::string layers = absl::StrCat(path, ".Conv3D_", dilation, ".layers.");
      const at::Tensor space = at::conv3d(x, Weight(layers + "0.weight"), {}, 1, {0, 1, 1});
      branches.push_back(at::conv3d(space, Weight(layers + "1.weight"), {}, 1, {dilation, 0, 0},
                                    {dilation, 1, 1}));
    }
    return at::batch_norm(
        at::cat(branches, 1), Weight(path + ".bn.weight"), Weight(path + ".bn.bias"),
        Weight(path + ".bn.running_mean"), Weight(path + ".bn.running_var"),
        /*training=*/false, /*momentum=*/0, kBatchNormEps, /*cudnn_enabled=*/false);
  }

  at::Tensor Stage(const at::Tensor& input, int stage) const {
    const std::string path = absl::StrCat("SDDCNN.", stage, ".DDCNN.");
    const at::Tensor first = at::relu(Cell(input, path + "0"));
    const at::Tensor second = at::relu(Cell(first, path + "1"));
    return at::avg_pool3d(first + second, {1, 2, 2});
  }

  std::map<std::string, at::Tensor> weights_;
  std::string digest_;
  std::string name_ = "FD-TransNetV2";
  std::string preprocessing_ =
      "whole frames to 27x48, bilinear with antialiasing, 8 bits, [0, 1]; stage averages over time "
      "and "
      "space";
};

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenTransNetV2(Env& env,
                                                                 absl::string_view weights_path) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> source,
                           OpenSafetensors(env, weights_path));
  std::map<std::string, at::Tensor> weights;
  const auto take = [&](const std::string& name, std::vector<int64_t> shape) -> absl::Status {
    const TensorInfo* info = source->Find(name);
    if (info == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(weights_path, ": no tensor ", name, "; this is not a TransNetV2 file"));
    }
    if (info->shape != shape || info->dtype != at::kFloat) {
      return absl::InvalidArgumentError(
          absl::StrCat(weights_path, ": ", name, " is [", absl::StrJoin(info->shape, ", "),
                       "], wanted fp32 [", absl::StrJoin(shape, ", "), "]"));
    }
    WANLITE_ASSIGN_OR_RETURN(weights[name], source->Read(name));
    return absl::OkStatus();
  };
  int64_t in = 3;
  for (int stage = 0; stage < kStages; ++stage) {
    const int64_t filters = kFilters << stage;
    for (int cell = 0; cell < kCells; ++cell) {
      const std::string path = absl::StrCat("SDDCNN.", stage, ".DDCNN.", cell);
      for (const int64_t dilation : kDilations) {
        const std::string layers = absl::StrCat(path, ".Conv3D_", dilation, ".layers.");
        WANLITE_RETURN_IF_ERROR(take(layers + "0.weight", {2 * filters, in, 1, 3, 3}));
        WANLITE_RETURN_IF_ERROR(take(layers + "1.weight", {filters, 2 * filters, 3, 1, 1}));
      }
      for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
        WANLITE_RETURN_IF_ERROR(take(absl::StrCat(path, ".bn.", name), {4 * filters}));
      }
      in = 4 * filters;
    }
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string bytes, env.ReadFile(weights_path));
  return std::make_unique<TransNetV2>(std::move(weights), Sha256Hex(bytes));
}

}  // namespace wanlite
