// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Every pass that prunes, through whole runs over a folder: the plan equals the effect, the result
// is saved, opened and run, pruned again, quantized after and before, and a run that is killed
// continues to the same bytes. And what is absurd is refused from shapes alone.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/recipe.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/seeded.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/nn.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/tensor_source.h"

namespace wanlite {
namespace {

using testing::FilesOf;

constexpr int kLayers = 3;
constexpr char kZerosWant[] = "zeros are put into dense, masked and packed sparse weights";
constexpr char kInt8Wants[] = "this pass takes dense weights";

struct Composed {
  std::string pass;  // of the recipe
  bool samples = false;
  // What the pass says of a model in INT8, where it cannot work on that.
  std::string refuses_int8 = "";
  // What INT8 says of its result, where it cannot work on that.
  std::string int8_refuses = "";
  // What it says of its own result.
  std::string refuses_again = "";

  std::string field() const { return pass.substr(0, pass.find(' ')); }
};

const std::vector<Composed>& Pruning() {
  static const auto* const kPruning = new std::vector<Composed>{
      {"prune_ffn { amount: 0.3 }"},
      {"prune_ffn { amount: 0.4 multiple: 8 experts_together: true criterion { score: RANDOM } }"},
      {"prune_ffn { amount: 0.3 mean_to_bias: true criterion { score: ACTIVATION scope: GLOBAL } }",
       true},
      {"prune_ffn { amount: 0.5 criterion { score: TAYLOR samples: 2 } }", true},
      {"prune_heads { amount: 0.5 }"},
      {"prune_heads { keep: 1 criterion { score: OUTPUT_ERROR samples: 2 } }", true},
      {"prune_width { amount: 0.25 }"},
      {"prune_vae { amount: 0.25 }"},
      {"drop_blocks { count: 1 score: L2 }"},
      {"drop_blocks { count: 1 average: true score: INFLUENCE samples: 2 }", true,
       "of which there is no mean"},
      {"reduce_time_path { rank: 8 timesteps: 33 }", false, "", "", "has the format factored"},
      {"prune_magnitude { amount: 0.3 }", false, kZerosWant},
      {"prune_magnitude { amount: 0.3 scope: GLOBAL store: MASK }", false, kZerosWant, kInt8Wants},
      {"prune_wanda { amount: 0.5 }", true, kZerosWant},
      {"prune_sparsegpt { amount: 0.5 columns: 16 }", true, kZerosWant},
      {"prune_sparsegpt { n: 2 m: 4 store: PACKED }", true, kZerosWant, kInt8Wants},
      {"prune_nm { }", false, kZerosWant},
      {"prune_nm { score: WANDA store: MASK }", true, kZerosWant, kInt8Wants},
      {"prune_nm { store: PACKED }", false, kZerosWant, kInt8Wants},
      {"recover { method: LEAST_SQUARES }", true, "least squares fit dense and masked weights"},
      {"prune_auto { budget { parameters_fraction: 0.8 } samples: 2 controls: 1 }", true,
       "this pass takes dense weights"},
  };
  return *kPruning;
}

// Whether this build has the pass: every field of PassSpec has one, as another test says.
bool IsBuilt(const std::string& field) {
  const auto* descriptor = PassSpec::descriptor()->FindFieldByName(field);
  REQUIRE(descriptor != nullptr);
  const std::vector<std::string> types = BuiltinPasses().option_types();
  return std::count(types.begin(), types.end(), descriptor->message_type()->full_name()) == 1;
}

// Two experts and an autoencoder at /model, inputs of the experts at /samples.
std::unique_ptr<Env> DiskToPrune() {
  std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.layers = kLayers;
  options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", options));
  const std::vector<Values> inputs = testing::TransformerInputs(3, 5);
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (const char* component : {"transformer", "transformer_2"}) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      SampleInfo sample;
      sample.component = component;
      sample.weight = static_cast<double>(i + 1);
      sample.timestep = inputs[i].at("timestep").item<double>();
      for (const auto& [name, value] : inputs[i]) {
        sample.values[name] = absl::StrCat(component, ".", i, ".", name);
        tensors.push_back({sample.values[name], value});
      }
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

absl::StatusOr<ParsedRecipe> RecipeOf(const std::vector<std::string>& passes) {
  std::string text = "seed: 4\n";
  for (const std::string& pass : passes) absl::StrAppend(&text, "passes { ", pass, " }\n");
  return ParsedRecipe::Parse(text, "recipe", BuiltinPasses());
}

ModelFolder FolderAt(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  return folder;
}

absl::Status Prune(Env& env, const std::string& from, const std::vector<std::string>& passes,
                   const std::string& to) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe, RecipeOf(passes));
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, "/samples"));
  CompressOptions options;
  options.out_dir = to;
  options.samples = &set;
  return CompressFolder(env, recipe, FolderAt(env, from), BuiltinArchitectures(), options).status();
}

// Counted from the files, apart from the pipeline: a weight in another format counts its matrix.
int64_t ParametersOf(const ModelView& view) {
  std::map<std::string, int64_t> counts;
  for (const NamedTensor& named : view.Tensors()) counts[named.name] = named.tensor.numel();
  int64_t total = 0;
  for (const LinearInfo& linear : view.weights()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
    // Two thin matrices are what they are.
    if (weight->dense() != nullptr || weight->format() == "factored") continue;
    for (const WeightTensor& state : weight->State()) {
      counts.erase(absl::StrCat(linear.path, ".", state.name));
    }
    total += weight->out_features() * weight->in_features();
  }
  for (const auto& [name, count] : counts) total += count;
  return total;
}

// What the experts make of the first inputs.
std::vector<at::Tensor> OutputsAt(Env& env, const std::string& dir) {
  const ModelView view = testing::WanView(env, dir);
  std::vector<at::Tensor> outputs;
  for (const char* component : {"transformer", "transformer_2"}) {
    outputs.push_back(testing::OutputOf(view, component, testing::TransformerInputs(3, 5).front()));
  }
  return outputs;
}

void CheckFinite(const std::vector<at::Tensor>& outputs) {
  for (const at::Tensor& output : outputs) {
    CHECK(output.sizes() == at::IntArrayRef({1, 4, 2, 4, 6}));
    CHECK(output.isfinite().all().item<bool>());
  }
}

// OK, or an error that says so.
void CheckAsTold(const absl::Status& status, const std::string& refused) {
  INFO(status.ToString());
  CHECK(status.ok() == refused.empty());
  if (!refused.empty()) CHECK(absl::StrContains(status.message(), refused));
}

TEST_CASE("every pass that prunes or recovers is composed with the others here") {
  for (int i = 0; i < PassSpec::descriptor()->field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *PassSpec::descriptor()->field(i);
    const bool listed = std::any_of(Pruning().begin(), Pruning().end(), [&](const Composed& item) {
      return item.field() == field.name();
    });
    const bool prunes = absl::StrContains(field.name(), "prune") || field.name() == "drop_blocks" ||
                        field.name() == "reduce_time_path" || field.name() == "recover";
    INFO(field.name());
    CHECK(listed == prunes);
  }
}

TEST_CASE("the plan of a pruning pass is its effect, and what it leaves opens and runs") {
  for (const Composed& item : Pruning()) {
    if (!IsBuilt(item.field())) continue;
    INFO(item.pass);
    const std::unique_ptr<Env> env = DiskToPrune();
    const auto model_before = FilesOf(*env, "/model");
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, RecipeOf({item.pass}));
    ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plan,
                         PlanRecipe(recipe, FolderAt(*env, "/model")));
    REQUIRE(plan.size() == 1);
    CHECK(plan[0].parameters_before == ParametersOf(testing::WanView(*env, "/model", false)));
    REQUIRE_OK(Prune(*env, "/model", {item.pass}, "/out"));
    const ModelFolder out = FolderAt(*env, "/out");
    const ModelView view = testing::WanView(*env, "/out");
    // An estimate is near; what is exact is exact.
    const double slack = plan[0].estimated ? 0.2 : 0;
    CHECK(std::abs(static_cast<double>(plan[0].bytes_after - out.bytes())) <=
          slack * static_cast<double>(out.bytes()));
    CHECK(std::abs(static_cast<double>(plan[0].parameters_after - ParametersOf(view))) <=
          slack * static_cast<double>(ParametersOf(view)));
    if (!plan[0].estimated) {
      CHECK(plan[0].bytes_after == out.bytes());
      CHECK(plan[0].parameters_after == ParametersOf(view));
    }
    CheckFinite(OutputsAt(*env, "/out"));
    CHECK((FilesOf(*env, "/model") == model_before));
    // It has changed something, and the same recipe gives the same.
    const std::vector<at::Tensor> now = OutputsAt(*env, "/out"), then = OutputsAt(*env, "/model");
    CHECK((ParametersOf(view) < plan[0].parameters_before || !now[0].equal(then[0])));
    REQUIRE_OK(Prune(*env, "/model", {item.pass}, "/again"));
    CHECK((FilesOf(*env, "/out") == FilesOf(*env, "/again")));
  }
}

TEST_CASE("a pruned model is pruned again, quantized after and before") {
  const std::string int8 = "quantize_int8 { activations: FLOAT }";
  for (const Composed& item : Pruning()) {
    if (!IsBuilt(item.field())) continue;
    INFO(item.pass);
    const std::unique_ptr<Env> env = DiskToPrune();
    REQUIRE_OK(Prune(*env, "/model", {item.pass}, "/out"));

    const absl::Status again = Prune(*env, "/out", {item.pass}, "/twice");
    CheckAsTold(again, item.refuses_again);
    if (again.ok()) {
      CheckFinite(OutputsAt(*env, "/twice"));
      CHECK(FolderAt(*env, "/twice").bytes() <= FolderAt(*env, "/out").bytes());
      // In one run as in two.
      REQUIRE_OK(Prune(*env, "/model", {item.pass, item.pass}, "/both"));
      // But for a teacher that is what the recipe began with.
      const bool same_teacher = item.field() != "recover";
      CHECK((FolderAt(*env, "/both").fingerprint() == FolderAt(*env, "/twice").fingerprint()) ==
            same_teacher);
    }
    const absl::Status after = Prune(*env, "/out", {int8}, "/after");
    CheckAsTold(after, item.int8_refuses);
    if (absl::StrContains(item.pass, "MASK")) {  // which is for training, and baked behind it
      REQUIRE_OK(Prune(*env, "/out", {"convert { }", int8}, "/baked"));
      CheckFinite(OutputsAt(*env, "/baked"));
    }
    if (after.ok()) {
      CheckFinite(OutputsAt(*env, "/after"));
      CHECK(FolderAt(*env, "/after").bytes() < FolderAt(*env, "/out").bytes());
    }
    REQUIRE_OK(Prune(*env, "/model", {int8}, "/int8"));
    const absl::Status before = Prune(*env, "/int8", {item.pass}, "/before");
    CheckAsTold(before, item.refuses_int8);
    if (before.ok()) CheckFinite(OutputsAt(*env, "/before"));
  }
}

TEST_CASE("a pruned model of every kind is exported, padded where need be, and computes the same") {
  for (const Composed& item : Pruning()) {
    if (!IsBuilt(item.field())) continue;
    INFO(item.pass);
    const std::unique_ptr<Env> env = DiskToPrune();
    REQUIRE_OK(Prune(*env, "/model", {item.pass}, "/out"));
    ExportOptions options;
    options.pad = true;
    options.pad_multiple = 16;
    const absl::Status exported = ExportFolder(*env, FolderAt(*env, "/out"), "/export", options);
    // Under a layer norm zeros are not nothing.
    CheckAsTold(exported, item.field() == "prune_width" ? "wanlite_dim" : "");
    if (!exported.ok()) continue;
    const ModelView view = testing::WanView(*env, "/export");
    for (const LinearInfo& linear : view.weights()) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
      CHECK(weight->dense() != nullptr);
    }
    for (const Component& component : view.components()) {
      CHECK_FALSE(absl::StrContains(component.config_json, "wanlite_"));
    }
    const std::vector<at::Tensor> want = OutputsAt(*env, "/out"), got = OutputsAt(*env, "/export");
    for (size_t i = 0; i < want.size(); ++i) CHECK(testing::RelativeL2(got[i], want[i]) < 1e-5);
  }
}

TEST_CASE("a long recipe of pruning killed again and again gives the bytes of an unbroken run") {
  std::vector<std::string> passes;
  for (const char* pass :
       {"drop_blocks { count: 1 score: OUTPUT_ERROR samples: 2 }",
        "prune_heads { amount: 0.5 criterion { score: ACTIVATION } mean_to_bias: true }",
        "repeat { rounds: 2 passes { prune_ffn { amount: 0.4 criterion { score: OBD samples: 2 } } "
        "} passes { recover { method: LEAST_SQUARES } } }",
        "prune_vae { amount: 0.25 }", "prune_sparsegpt { n: 2 m: 4 }",
        "quantize_int8 { activations: FLOAT }"}) {
    const std::string text = pass;
    const std::string field = text.substr(0, text.find(' '));
    if (field == "repeat" ? IsBuilt("recover") && IsBuilt("prune_ffn") : IsBuilt(field)) {
      passes.push_back(text);
    }
  }
  const std::unique_ptr<Env> whole = DiskToPrune();
  REQUIRE_OK(Prune(*whole, "/model", passes, "/out"));
  const auto expected = FilesOf(*whole, "/out");
  for (const int64_t stride : {503, 997}) {
    INFO("killed after every " << stride << " writes");
    const std::unique_ptr<Env> disk = DiskToPrune();
    int runs = 1;
    while (!Prune(*NewFaultEnv(*disk, stride), "/model", passes, "/out").ok()) {
      REQUIRE(++runs < 100);
    }
    CHECK(runs > 1);
    CHECK((FilesOf(*disk, "/out") == expected));
  }
}

TEST_CASE("a pruning run killed at a write continues to the bytes of an unbroken one") {
  for (const Composed& item : Pruning()) {
    if (!IsBuilt(item.field())) continue;
    INFO(item.pass);
    const std::unique_ptr<Env> whole = DiskToPrune();
    const std::unique_ptr<FaultEnv> counting =
        NewFaultEnv(*whole, std::numeric_limits<int64_t>::max());
    REQUIRE_OK(Prune(*counting, "/model", {item.pass}, "/out"));
    const auto expected = FilesOf(*whole, "/out");
    const int64_t writes = counting->writes();
    REQUIRE(writes > 10);
    for (const double part : {0.15, 0.4, 0.6, 0.8, 0.97}) {
      const auto kill = static_cast<int64_t>(part * static_cast<double>(writes));
      INFO("killed at write " << kill << " of " << writes);
      const std::unique_ptr<Env> disk = DiskToPrune();
      CHECK_FALSE(Prune(*NewFaultEnv(*disk, kill), "/model", {item.pass}, "/out").ok());
      REQUIRE_OK(Prune(*disk, "/model", {item.pass}, "/out"));
      CHECK((FilesOf(*disk, "/out") == expected));
    }
  }
}

// Weights that nobody may read.
class ClosedSource : public TensorSource {
 public:
  explicit ClosedSource(const ModelView& hollow) {
    for (const NamedTensor& named : hollow.Tensors()) {
      infos_.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
    }
    std::sort(infos_.begin(), infos_.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override {
    ++reads;
    return absl::PermissionDeniedError(std::string(name));
  }
  void Release(absl::string_view) const override {}

  mutable int64_t reads = 0;

 private:
  std::vector<TensorInfo> infos_;
};

TEST_CASE("what is absurd is refused from shapes alone, by name") {
  struct Absurd {
    const char* pass;
    const char* says;
  };
  // 40 hidden channels, 2 heads of 12, a width of 24, 3 blocks in each of two experts.
  const Absurd requests[] = {
      {"prune_ffn { }", "amount"},
      {"prune_ffn { amount: 1 }", "amount"},
      {"prune_ffn { amount: -0.1 }", "amount"},
      {"prune_ffn { amount: nan }", "amount"},
      {"prune_ffn { amount: 0.5 keep: 3 }", "keep"},
      {"prune_ffn { keep: 0 }", "keep"},
      {"prune_ffn { keep: 41 }", "ffn.channels"},
      {"prune_ffn { amount: 0.5 multiple: 0 }", "multiple"},
      {"prune_ffn { amount: 0.5 multiple: 64 }", "ffn.channels"},
      {"prune_ffn { amount: 0.5 units { include: 'nothing.*' } }", "nothing.*"},
      {"prune_ffn { amount: 0.5 criterion { score: TAYLOR samples: 0 } }", "samples"},
      {"prune_heads { keep: 3 }", "attn.heads"},
      {"prune_heads { amount: 0.5 multiple: 5 }", "attn.heads"},
      {"prune_heads { amount: 1.5 }", "amount"},
      {"prune_width { keep: 25 }", "width"},
      {"prune_width { keep: 0 }", "keep"},
      {"prune_vae { amount: 1 }", "amount"},
      {"prune_vae { keep: 100000 }", "vae"},
      {"prune_vae { amount: 0.5 criterion { score: ACTIVATION } }", "vae"},
      {"drop_blocks { }", "amount"},
      {"drop_blocks { count: 0 }", "count"},
      {"drop_blocks { count: 3 score: L2 }", "block"},
      {"drop_blocks { count: 4 score: L2 }", "block"},
      {"drop_blocks { amount: 1 score: L2 }", "amount"},
      {"drop_blocks { blocks: 'transformer.blocks.9' }", "transformer.blocks.9"},
      {"drop_blocks { blocks: 'transformer.blocks.*' }", "transformer"},
      {"drop_blocks { count: 1 blocks: 'transformer.blocks.1' }", "count"},
      {"drop_blocks { count: 1 components: 'unet' score: L2 }", "unet"},
      {"drop_blocks { count: 1 score: LEARNED }", "loop"},
      {"reduce_time_path { rank: 0 }", "rank"},
      {"reduce_time_path { tolerance: -1 }", "tolerance"},
      {"reduce_time_path { rank: 4 timesteps: 1 }", "timesteps"},
      {"prune_magnitude { amount: 1.1 }", "amount"},
      {"prune_magnitude { amount: 0.5 store: PACKED }", "store"},
      {"prune_wanda { }", "amount"},
      {"prune_wanda { amount: 2 }", "amount"},
      {"prune_sparsegpt { }", "amount"},
      {"prune_sparsegpt { amount: 0.5 n: 2 m: 4 }", "amount"},
      {"prune_sparsegpt { amount: 0.5 columns: 0 }", "columns"},
      {"prune_sparsegpt { amount: 0.5 store: PACKED }", "store"},
      {"prune_nm { n: 0 }", "n"},
      {"prune_nm { n: 4 m: 4 }", "n"},
      {"prune_nm { n: 2 m: 64 }", "m"},
      {"prune_nm { n: 2 m: 7 }", "blocks.0"},
      {"prune_auto { }", "budget"},
      {"prune_auto { budget { parameters_fraction: 0 } }", "parameters_fraction"},
      {"prune_auto { budget { parameters_fraction: 0.001 } }", "budget"},
      {"prune_auto { budget { parameters_fraction: 0.8 } ratios: 1 }", "ratios"},
      {"prune_auto { budget { parameters_fraction: 0.8 } kinds: 'legs' }", "legs"},
      {"recover { method: MODEL }", "loop"},
      {"recover { method: LEAST_SQUARES teacher: NO_TEACHER }", "teacher"},
      {"recover { method: LEAST_SQUARES components: 'unet' }", "linears { components }"},
  };
  const std::unique_ptr<Env> env = DiskToPrune();
  const auto before = FilesOf(*env, "/");
  for (const Absurd& request : requests) {
    const std::string pass = request.pass;
    if (!IsBuilt(pass.substr(0, pass.find(' ')))) continue;
    INFO(pass);
    const absl::StatusOr<ParsedRecipe> recipe = RecipeOf({pass});
    absl::Status refused = recipe.status();
    if (recipe.ok()) {
      // Options that are sound by themselves: the model's shapes speak.
      ModelView hollow = testing::WanView(*env, "/model", /*load=*/false);
      const auto closed = std::make_shared<ClosedSource>(hollow);
      hollow.AttachSource(closed);
      refused = PlanRecipe(*recipe, hollow).status();
      CHECK(closed->reads == 0);
    }
    INFO(refused.ToString());
    CHECK(absl::IsInvalidArgument(refused));
    CHECK(absl::StrContains(refused.message(), request.says));
    // A run says the same, before it writes anything.
    CHECK_FALSE(Prune(*env, "/model", {pass}, "/out").ok());
    CHECK((FilesOf(*env, "/") == before));
  }
}

}  // namespace
}  // namespace wanlite
