// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Opening, loading and compressing a model folder of 100 MB of bf16 in shards, made on the fly in a
// temporary folder. bytes/s count the original's bytes. Files stay in the page cache; outputs are
// on disk (fsync) when wanlite is done, while torch::save leaves that to the system.
//
// LibTorch's side does the same work with what LibTorch has: torch::load of one archive, tensor
// arithmetic in memory, torch::save. "read_write_sync" is what the disk takes for the bytes alone.
#include <torch/serialize.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/harness.h"
#include "bench/random_wan.h"
#include "src/core/libtorch.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/status.h"

namespace wanlite::bench {
namespace {

constexpr double kAmount = 0.3;  // of weights pruned
constexpr char kConfig[] = R"({
  "_class_name": "WanTransformer3DModel", "attention_head_dim": 128, "cross_attn_norm": true,
  "eps": 1e-06, "ffn_dim": 4480, "freq_dim": 256, "in_channels": 16, "num_attention_heads": 6,
  "num_layers": 4, "out_channels": 16, "patch_size": [1, 2, 2],
  "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096
})";

// The folder and the same tensors as a LibTorch archive; gone with the object.
class Models {
 public:
  static absl::StatusOr<std::shared_ptr<Models>> Create() {
    std::string name = (std::filesystem::temp_directory_path() / "wanlite_bench_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return absl::InternalError("cannot make " + name);
    std::shared_ptr<Models> models(new Models(name));
    RandomWanOptions options;
    options.out_dir = models->dir();
    options.config = kConfig;
    options.shard_bytes = int64_t{32} << 20;
    WANLITE_RETURN_IF_ERROR(WriteRandomWan(options));
    WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, models->Open());
    WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
    WANLITE_RETURN_IF_ERROR(view.LoadAll());
    std::vector<at::Tensor> tensors;
    for (const NamedTensor& tensor : view.Tensors()) {
      tensors.push_back(tensor.tensor.detach());
      models->changes_.push_back(tensor.tensor.dim() == 2 &&
                                 absl::StrContains(tensor.name, ".blocks."));
    }
    torch::save(tensors, models->archive());
    models->bytes_ = folder.bytes();
    models->sum_ = Sum(tensors);
    return models;
  }
  ~Models() { PosixEnv().RemoveAll(root_).IgnoreError(); }

  absl::StatusOr<ModelFolder> Open() const {
    return ModelFolder::Open(PosixEnv(), dir(), {}, BuiltinArchitectures());
  }
  std::string dir() const { return JoinPath(root_, "model"); }
  std::string archive() const { return JoinPath(root_, "model.pt"); }
  std::string out() const { return JoinPath(root_, "out"); }
  int64_t bytes() const { return bytes_; }
  // Reads every value: a loader that maps would be flattered if nobody looked at what it loaded.
  // DataLoss when these are not the model's.
  absl::Status Check(const std::vector<at::Tensor>& tensors) const {
    return Sum(tensors) == sum_ ? absl::OkStatus()
                                : absl::DataLossError("what was loaded is not what was saved");
  }
  // By place in the archive: a matrix of the blocks, as the passes take by default.
  bool Changes(size_t tensor) const { return changes_[tensor]; }

 private:
  explicit Models(std::string root) : root_(std::move(root)) {}
  static double Sum(const std::vector<at::Tensor>& tensors) {
    double sum = 0;
    for (const at::Tensor& tensor : tensors) sum += at::sum(tensor, at::kFloat).item<double>();
    return sum;
  }
  std::string root_;
  int64_t bytes_ = 0;
  double sum_ = 0;
  std::vector<bool> changes_;
};
using ModelsPtr = std::shared_ptr<Lazy<std::shared_ptr<Models>>>;

std::vector<at::Tensor> LoadArchive(const Models& models) {
  std::vector<at::Tensor> tensors;
  torch::load(tensors, models.archive());
  return tensors;
}

absl::Status OpenFolder(const Models& models, bool load) {
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, models.Open());
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  if (!load) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(view.LoadAll());
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& tensor : view.Tensors()) tensors.push_back(tensor.tensor);
  return models.Check(tensors);
}

absl::Status Compress(const Models& models, const std::string& recipe_text) {
  WANLITE_RETURN_IF_ERROR(PosixEnv().RemoveAll(models.out()));
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(recipe_text, "bench_io", BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, models.Open());
  CompressOptions options;
  options.out_dir = models.out();
  return CompressFolder(PosixEnv(), recipe, folder, BuiltinArchitectures(), options).status();
}

void TorchCompress(const Models& models, at::Tensor (*change)(const at::Tensor&)) {
  std::vector<at::Tensor> tensors = LoadArchive(models);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (models.Changes(i)) tensors[i] = change(tensors[i]);
  }
  torch::save(tensors, models.out() + ".pt");
}

at::Tensor TorchQuantize(const at::Tensor& weight) {
  const at::Tensor dense = weight.to(at::kFloat);
  const at::Tensor scale = at::amax(at::abs(dense), 1).to(at::kDouble) / 127;
  return at::quantize_per_channel(dense, scale, at::zeros({dense.size(0)}, at::kLong), 0,
                                  at::kQInt8);
}

at::Tensor TorchPrune(const at::Tensor& weight) {
  const at::Tensor magnitude = at::abs(weight.to(at::kFloat));
  const auto count = static_cast<int64_t>(kAmount * static_cast<double>(weight.numel()));
  const at::Tensor threshold = std::get<0>(at::kthvalue(magnitude.flatten(), count));
  return at::where(magnitude > threshold, weight, at::zeros({}, weight.options()));
}

absl::Status ReadWriteSync(const Models& models) {
  Env& env = PosixEnv();
  WANLITE_ASSIGN_OR_RETURN(const std::string bytes,
                           env.ReadFile(models.archive(), uint64_t{1} << 30));
  return env.WriteFileAtomically(models.out() + ".copy", bytes);
}

void AddIo(const ModelsPtr& models, const std::string& group, const std::string& variant,
           std::function<absl::Status(const Models&)> run) {
  Add(group, variant, [=](benchmark::State& state) {
    const Models& m = ***models;
    for (auto _ : state) OkOrExit(run(m));
    SetWork(state, {.bytes = static_cast<double>(m.bytes())});
  });
}

void AddAll(const ModelsPtr& models) {
  AddIo(models, "load", "LibTorch_load", [](const Models& m) { return m.Check(LoadArchive(m)); });
  AddIo(models, "load", "wanlite_open_only",
        [](const Models& m) { return OpenFolder(m, /*load=*/false); });
  AddIo(models, "load", "wanlite_open_and_load",
        [](const Models& m) { return OpenFolder(m, /*load=*/true); });

  const auto torch = [](at::Tensor (*change)(const at::Tensor&)) {
    return [=](const Models& m) {
      TorchCompress(m, change);
      return absl::OkStatus();
    };
  };
  const auto wanlite = [](const std::string& recipe) {
    return [=](const Models& m) { return Compress(m, recipe); };
  };
  const std::string int8 = "compress/quantize_int8";
  AddIo(models, int8, "LibTorch_load_quantize_save", torch(TorchQuantize));
  AddIo(models, int8, "read_write_sync", ReadWriteSync);
  AddIo(models, int8, "wanlite", wanlite("passes { quantize_int8 { } }"));
  AddIo(models, int8, "wanlite_convrot", wanlite("passes { quantize_int8 { rotation: CONVROT } }"));
  const std::string prune = "compress/prune_magnitude";
  AddIo(models, prune, "LibTorch_load_prune_save", torch(TorchPrune));
  AddIo(models, prune, "wanlite",
        wanlite(absl::StrCat("passes { prune_magnitude { amount: ", kAmount, " scope: LOCAL } }")));
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  using wanlite::bench::Models;
  int code = 0;
  {
    const auto models = wanlite::bench::MakeLazy<std::shared_ptr<Models>>(
        [] { return wanlite::bench::ValueOrExit(Models::Create()); });
    wanlite::bench::AddAll(models);
    code = wanlite::bench::Main(argc, argv,
                                "LibTorch_load,LibTorch_load_quantize_save,"
                                "LibTorch_load_prune_save");
    benchmark::ClearRegisteredBenchmarks();  // they hold the models, whose end removes the files
  }
  return code;
}
