// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/text_video_encoder.h"

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <atomic>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/metrics/extractors.h"
#include "src/metrics/torchscript_file.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class TorchScriptEncoder : public TextVideoEncoder {
 public:
  TorchScriptEncoder(TorchScriptFile file, std::string path)
      : module_(std::move(file.module)), path_(std::move(path)) {
    const std::string base = Basename(path_);
    name_ = absl::StrCat("CLIP-", base.substr(0, base.rfind('.')), ", SHA-256 ", file.digest);
  }

  const std::string& name() const override { return name_; }

  absl::StatusOr<at::Tensor> EmbedText(const std::string& text) const override {
    return Call("encode_text", text);
  }
  absl::StatusOr<at::Tensor> EmbedClip(const at::Tensor& clip) const override {
    WANLITE_RETURN_IF_ERROR(CheckClip(clip));
    return Call("encode_video", ClipToVideo(clip));
  }

 private:
  absl::StatusOr<at::Tensor> Call(const char* method, const c10::IValue& argument) const {
    absl::StatusOr<at::Tensor> result = CatchTorch([&] {
      const at::NoGradGuard no_grad;
      const torch::jit::GraphOptimizerEnabledGuard no_fusion(false);
      return module_.get_method(method)({argument}).toTensor();
    });
    if (!result.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", method, " failed: ", FailureText(result.status().message())));
    }
    const bool is_vector = result->defined() && result->is_floating_point() &&
                           result->numel() > 0 &&
                           (result->dim() == 1 || (result->dim() == 2 && result->size(0) == 1));
    if (!is_vector) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", method, " returned ",
                       result->defined() ? absl::StrCat(c10::toString(result->scalar_type()), " [",
                                                        absl::StrJoin(result->sizes(), ", "), "]")
                                         : "nothing",
                       ", wanted floating [dim] or [1, dim]"));
    }
    const at::Tensor vector = result->flatten().to(at::kFloat);
    int64_t known = 0;
    if (!dim_.compare_exchange_strong(known, vector.numel()) && known != vector.numel()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ": ", method, " returned ", vector.numel(), " values, ", known, " came before"));
    }
    const double norm = vector.norm().item<double>();
    if (!(norm > 0) || !std::isfinite(norm)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", method, " returned a vector of norm ", norm));
    }
    return vector / norm;
  }

  torch::jit::Module module_;
  std::string path_, name_;
  mutable std::atomic<int64_t> dim_{0};
};

class TorchScriptTrainingEncoder : public VideoTextEncoder {
 public:
  TorchScriptTrainingEncoder(TorchScriptFile file, std::unique_ptr<TextVideoEncoder> scores)
      : module_(std::move(file.module)),
        fingerprint_(std::move(file.digest)),
        scores_(std::move(scores)) {
    for (const at::Tensor& parameter : module_.parameters()) parameter.set_requires_grad(false);
  }

  const std::string& name() const override { return scores_->name(); }
  const std::string& fingerprint() const override { return fingerprint_; }

  at::Tensor EmbedVideo(const at::Tensor& video) const override {
    const torch::jit::GraphOptimizerEnabledGuard no_fusion(false);
    torch::jit::Method encode = module_.get_method("encode_video");
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < video.size(0); ++i) {
      const at::Tensor one = video.narrow(0, i, 1).to(at::kCPU, at::kFloat);
      const at::Tensor row = encode({one}).toTensor().to(at::kFloat).reshape({1, -1});
      TORCH_CHECK_VALUE(!video.requires_grad() || row.requires_grad(), name(),
                        ": encode_video passes no gradients");
      rows.push_back(row / row.norm().clamp_min(1e-12));
    }
    return at::cat(rows).to(video.device());
  }
  absl::StatusOr<at::Tensor> EmbedText(const std::vector<std::string>& prompts) const override {
    std::vector<at::Tensor> rows;
    for (const std::string& prompt : prompts) {
      WANLITE_ASSIGN_OR_RETURN(rows.emplace_back(), scores_->EmbedText(prompt));
    }
    return at::stack(rows);
  }

 private:
  torch::jit::Module module_;
  const std::string fingerprint_;
  const std::unique_ptr<TextVideoEncoder> scores_;
};

absl::Status CheckMethod(const TorchScriptFile& file, absl::string_view path, const char* method,
                         c10::TypeKind argument, const char* wanted) {
  const auto found = file.module.find_method(method);
  if (!found.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has no method ", method, "; wanted ", wanted));
  }
  const c10::FunctionSchema& schema = found->function().getSchema();
  const auto& arguments = schema.arguments();  // the first is the module itself
  const bool fits = arguments.size() == 2 && arguments[1].type()->kind() == argument &&
                    schema.returns().size() == 1 &&
                    schema.returns()[0].type()->kind() == c10::TypeKind::TensorType;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, " has ", c10::toString(schema), "; wanted ", wanted));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TextVideoEncoder>> OpenTextVideoEncoder(Env& env,
                                                                       absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(TorchScriptFile file, LoadTorchScript(env, path));
  WANLITE_RETURN_IF_ERROR(CheckMethod(file, path, "encode_text", c10::TypeKind::StringType,
                                      "encode_text(text: str) -> Tensor"));
  WANLITE_RETURN_IF_ERROR(CheckMethod(file, path, "encode_video", c10::TypeKind::TensorType,
                                      "encode_video(video: Tensor) -> Tensor"));
  return std::make_unique<TorchScriptEncoder>(std::move(file), std::string(path));
}

absl::StatusOr<std::unique_ptr<VideoTextEncoder>> OpenTrainingEncoder(Env& env,
                                                                      absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<TextVideoEncoder> scores,
                           OpenTextVideoEncoder(env, path));
  WANLITE_ASSIGN_OR_RETURN(TorchScriptFile file, LoadTorchScript(env, path));
  return std::make_unique<TorchScriptTrainingEncoder>(std::move(file), std::move(scores));
}

}  // namespace wanlite
