// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// LoRA files: small updates of a model's layers (arXiv 2106.09685), as the tools of the field write
// them. docs/distillation.md has the namings that are read and written.
#ifndef WANLITE_LORA_H_
#define WANLITE_LORA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"

namespace wanlite {

// A LoRA file and how much of it a model gets.
struct LoraSpec {
  std::string path;
  // Glob over names of components ("transformer_2", "*" for every denoiser). Empty: what the file
  // says by the prefixes of its names, by its metadata, or by a name with high_noise or low_noise
  // in it; a file that does not say is for the only denoiser, and refused where there are two.
  std::string component = {};
  double strength = 1;
  std::string adapter = {};  // its name in the model; the file's name without its ending when empty
  // Layers of the file that the model has not are left out, with a note, instead of being refused:
  // adapters of an image-to-video model have some more.
  bool skip_unknown = false;
};

// LoRA files that were opened, and found to fit a model, each with what it changes. Immutable.
class LoraSet {
 public:
  // Reads names, shapes and scales of the files; `model` may be hollow. InvalidArgument, naming
  // file, tensor, what was found and what is wanted, for a file that is damaged, holds no LoRA,
  // or does not fit; FailedPrecondition for a difference of a whole matrix (".diff") on a layer
  // whose format cannot take it; Unimplemented for kinds of adapter that are not linear
  // (DoRA) or not of low rank (LoHa, LoKr).
  static absl::StatusOr<LoraSet> Open(Env& env, const std::vector<LoraSpec>& specs,
                                      const ModelView& model);

  // Gives the layers of hollow `model` the formats that Apply() gives them.
  absl::Status ApplyPlan(ModelView& hollow) const;
  // Changes what there is to be changed in one block, which must be leased, or with an empty
  // `block` in all of the components that `model` has, which must be in memory. Low-rank branches
  // go beside the weights, of whatever format; differences of biases, norms, modulations and dense
  // matrices are added to them: in fp32, all files at once, rounded once. Nothing is changed when
  // a value is not finite or does not fit its dtype, which is InvalidArgument.
  absl::Status Apply(ModelView& model, absl::string_view block = "") const;
  // Whether Apply() changes anything of the block.
  bool Touches(const ModelView& model, absl::string_view block) const;
  // InvalidArgument, naming file and tensor, when a value of the files is not finite. Reads them
  // all.
  absl::Status CheckFinite(const CancellationToken* cancel = nullptr) const;

  // One line for people for each file: what it is for and what it holds.
  std::vector<std::string> Describe() const;

  int64_t branches() const;     // low-rank ones, of all files
  int64_t differences() const;  // of tensors

  // For the library's own files (src/lora/lora_file.h).
  struct Rep;
  explicit LoraSet(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

 private:
  std::shared_ptr<const Rep> rep_;
};

enum class LoraNaming {
  kPeft,   // transformer.blocks.0.attn1.to_q.lora_A.weight, as diffusers' load_lora_weights reads
  kKohya,  // lora_unet_blocks_0_self_attn_q.lora_down.weight, with .alpha
  kComfy,  // diffusion_model.blocks.0.self_attn.q.lora_down.weight, with .alpha
};
// "peft", "kohya" or "comfy". InvalidArgument for other names.
absl::StatusOr<LoraNaming> ParseLoraNaming(absl::string_view name);

struct LoraExport {
  LoraNaming naming = LoraNaming::kPeft;
  std::string component = {};  // may be empty when adapters are in one component alone
  std::string adapter = {};    // may be empty when there is one
};
// Writes an adapter of a model as a LoRA file, tensors with the bits and dtypes that they have.
// Alpha and strength go into one alpha, so that the file at strength 1 does what the model does.
// Blocks are leased one at a time. Returns the number of layers. NotFound when the model has no
// such adapter; InvalidArgument, naming those that there are, when it is not clear which is meant;
// errors as of WriteSafetensors().
absl::StatusOr<int64_t> ExportLora(Env& env, ModelView& model, absl::string_view path,
                                   const LoraExport& options);

struct LoraExtraction {
  LoraNaming naming = LoraNaming::kComfy;
  std::string component = {};  // may be empty when the models have one denoiser
  // Of each layer's branch at most; less where `tolerance` is met or the layer has no more.
  int64_t rank = 64;
  // Relative error of a layer's difference, in the Frobenius norm, that the least rank may leave.
  double tolerance = 0;
  at::ScalarType dtype = at::kBFloat16;  // of the file: fp32, bf16 or fp16
  const CancellationToken* cancel = nullptr;
  ProgressSink* progress = nullptr;  // SilentProgress() when null
};
struct LoraExtractionReport {
  int64_t layers = 0, differences = 0, unchanged = 0;  // unchanged: layers
  int64_t largest_rank = 0;
  // |W - W_base - B A| / |W - W_base| over all layers together, of the factors as they are stored.
  double error = 0;
};
// Writes what makes `tuned` of `base` as a LoRA file: of each linear layer that differs the leading
// singular directions of the difference (randomized SVD, arXiv 0909.4061), the root of the singular
// values in either factor, and whole differences of all other tensors, for which kComfy alone has
// names (.diff, .diff_b, .diff_m). Blocks of both are leased one at a time. InvalidArgument, naming
// the layer, where the models have other shapes; FailedPrecondition when they are the same, and
// for tensors that the naming has no names for.
absl::StatusOr<LoraExtractionReport> ExtractLora(Env& env, ModelView& base, ModelView& tuned,
                                                 absl::string_view path,
                                                 const LoraExtraction& options);

}  // namespace wanlite

#endif  // WANLITE_LORA_H_
