// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/extractors.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kTransNetVariable[] = "WANLITE_TRANSNETV2";
constexpr char kTransNetHint[] =
    "./dev setup fetches them, or python3 tools/convert_transnetv2.py FILE writes them";

// Three strided 3-D convolutions with random weights that are the same everywhere. It sees colours,
// edges and motion in no useful proportion, which is all that a test of the arithmetic around it
// needs.
class Random3d : public FeatureExtractor {
 public:
  Random3d() {
    const at::Generator generator = at::detail::createCPUGenerator(kSeed);
    Sha256 hash;
    int64_t in = 3;
    for (const int64_t out : {8, 16, 32}) {
      at::Tensor weight = at::randn({out, in, 3, 3, 3}, generator, at::TensorOptions(at::kFloat)) /
                          std::sqrt(27.0 * static_cast<double>(in) / 2);
      hash.Update({static_cast<const char*>(weight.const_data_ptr()), weight.nbytes()});
      weights_.push_back(std::move(weight));
      dim_ += 2 * out;
      in = out;
    }
    digest_ = hash.Finish();
  }

  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  const std::string& preprocessing() const override { return preprocessing_; }
  int64_t dim() const override { return dim_; }

  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    WANLITE_RETURN_IF_ERROR(CheckClip(clip));
    return CatchTorch([&]() -> at::Tensor {
      const at::NoGradGuard no_grad;
      at::Tensor x = ClipToVideo(clip);
      std::vector<at::Tensor> features;
      for (const at::Tensor& weight : weights_) {
        x = at::relu(at::conv3d(x, weight, {}, /*stride=*/{1, 2, 2}, /*padding=*/{1, 1, 1}));
        features.push_back(x.mean({0, 2, 3, 4}));
        features.push_back(x.std({0, 2, 3, 4}, /*unbiased=*/false));
      }
      return at::cat(features);
    });
  }

 private:
  static constexpr uint64_t kSeed = 3;
  std::vector<at::Tensor> weights_;  // [out, in, 3, 3, 3]
  int64_t dim_ = 0;
  std::string digest_;
  std::string name_ = "FD-random3d";
  std::string preprocessing_ =
      "whole frames at their own size, [-1, 1]; averages and deviations of random convolutions, "
      "for "
      "tests only";
};

absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenDefaultTransNetV2(Env& env) {
  const char* path = std::getenv(kTransNetVariable);
  if (path == nullptr || *path == '\0') {
    return absl::NotFoundError(absl::StrCat("transnetv2: no weights: ", kTransNetVariable,
                                            " is not set; ", kTransNetHint));
  }
  if (!env.FileExists(path)) {
    return absl::NotFoundError(absl::StrCat("transnetv2: ", kTransNetVariable, " names ", path,
                                            ", which is not there; ", kTransNetHint));
  }
  return OpenTransNetV2(env, path);
}

}  // namespace

absl::Status CheckClip(const at::Tensor& clip) {
  if (clip.defined() && clip.scalar_type() == at::kByte && clip.dim() == 4 && clip.size(3) == 3 &&
      clip.numel() > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a clip must be uint8 [frames, height, width, 3], got ",
                   clip.defined() ? absl::StrCat(c10::toString(clip.scalar_type()), " [",
                                                 absl::StrJoin(clip.sizes(), ", "), "]")
                                  : "nothing"));
}

at::Tensor ClipToVideo(const at::Tensor& clip) {
  return (clip.permute({3, 0, 1, 2}).to(at::kFloat) / 127.5 - 1).unsqueeze(0).contiguous();
}

absl::Status ExtractorRegistry::Register(ExtractorKind kind) {
  for (const ExtractorKind& known : kinds_) {
    if (known.name == kind.name) {
      return absl::AlreadyExistsError(absl::StrCat("extractor ", kind.name, " is there already"));
    }
  }
  kinds_.push_back(std::move(kind));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FeatureExtractor>> ExtractorRegistry::Open(
    Env& env, absl::string_view spec, const ExtractorOptions& options) const {
  std::vector<std::string> known;
  for (const ExtractorKind& kind : kinds_) {
    const bool takes = !kind.argument.empty();
    if (!takes || kind.argument_optional) {
      if (spec == kind.name) return kind.open(env, "", options);
      known.push_back(kind.name);
    }
    if (takes) {
      absl::string_view argument = spec;
      if (absl::ConsumePrefix(&argument, kind.name + ":") && !argument.empty()) {
        return kind.open(env, argument, options);
      }
      known.push_back(absl::StrCat(kind.name, ":", kind.argument));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown extractor '", spec, "'; known are ", absl::StrJoin(known, ", ")));
}

ExtractorRegistry BuiltinExtractors() {
  const ExtractorKind kinds[] = {
      {"transnetv2", "FILE", /*argument_optional=*/true,
       [](Env& env, absl::string_view path, const ExtractorOptions&) {
         return path.empty() ? OpenDefaultTransNetV2(env) : OpenTransNetV2(env, path);
       }},
      {"torchscript", "FILE", false, OpenTorchScript},
      {"random3d", "", false, [](Env&, absl::string_view, const ExtractorOptions&) {
         return CatchTorch(
             []() -> std::unique_ptr<FeatureExtractor> { return std::make_unique<Random3d>(); });
       }}};
  ExtractorRegistry registry;
  for (const ExtractorKind& kind : kinds) registry.Register(kind).IgnoreError();  // names differ
  return registry;
}

}  // namespace wanlite
