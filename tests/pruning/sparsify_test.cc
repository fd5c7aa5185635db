// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The passes that zero single weights, through the pipeline.
#include "src/pruning/sparsify.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/calibration/input_moments.h"
#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/weight_masks.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/wan_samples.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::DiskWithWan;
using testing::OutputOf;
using testing::TransformerInputs;
using testing::Tree;
using testing::WanView;
using testing::WriteTransformerSamples;

std::unique_ptr<Env> DiskWithWanSamples(int64_t samples = 4, int layers = 2) {
  std::unique_ptr<Env> env = DiskWithWan(/*text_encoder=*/false, layers);
  WriteTransformerSamples(*env, "/samples", TransformerInputs(samples, 1));
  return env;
}

at::Tensor MatrixOf(const ModelView& model, const std::string& linear) {
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(linear));
  return weight->Dequantize();
}

std::string FormatOf(const ModelView& model, const std::string& linear) {
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(linear));
  return std::string(weight->format());
}

// Layers that passes prune by default.
std::vector<std::string> PrunedLayers(const ModelView& model) {
  std::vector<std::string> paths;
  for (const LinearInfo& linear : model.linears()) {
    if (!linear.sensitive && absl::StrContains(linear.path, ".blocks.")) {
      paths.push_back(linear.path);
    }
  }
  return paths;
}

// Root mean square of what a layer reads of the samples in `model`, fp32 [in].
at::Tensor InputNorm(const ModelView& model, const std::string& block, const std::string& linear,
                     const SampleSet& samples) {
  MomentTap tap({linear}, MomentTap::Of::kFeatures);
  const auto guard = TapLinears(model, block, tap);
  REQUIRE_OK(guard);
  for (int64_t i = 0; i < samples.size("transformer"); ++i) {
    tap.BeginSample(samples.sample("transformer", i).weight, 0);
    OutputOf(model, "transformer", *samples.Read("transformer", i));
  }
  const double rows = tap.Rows(linear);
  ASSERT_OK_AND_ASSIGN(const at::Tensor sum, tap.Take(linear));
  return (sum / rows).sqrt().to(at::kFloat);
}

double ErrorOn(const std::vector<Values>& inputs, const ModelView& original,
               const ModelView& compressed) {
  double error = 0, energy = 0;
  for (const Values& values : inputs) {
    const at::Tensor want = OutputOf(original, "transformer", values);
    error += (OutputOf(compressed, "transformer", values) - want).square().sum().item<double>();
    energy += want.square().sum().item<double>();
  }
  return std::sqrt(error / energy);
}

// Runs a pass over a model in memory, block after block, with its activations.
absl::Status RunWithSamples(const Pass& given, ModelView& model, const SampleSet* samples) {
  const auto& pass = dynamic_cast<const BlockPass&>(given);
  WANLITE_RETURN_IF_ERROR(pass.Plan(model).status());
  const std::unique_ptr<Env> env = NewMemEnv();
  std::unique_ptr<ActivationStream> stream;
  if (samples != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(
        stream, ActivationStream::Open(*env, "/stream", model, *samples, "transformer"));
  }
  for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
    const bool covered = stream != nullptr && stream->Covers(block.path);
    if (covered) WANLITE_RETURN_IF_ERROR(stream->Enter(block.path));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    PassContext context;
    context.activations = covered ? stream.get() : nullptr;
    if (pass.Touches(model, block.path)) {
      WANLITE_RETURN_IF_ERROR(pass.RunBlock(model, lease, nullptr, context));
    }
    if (covered) WANLITE_RETURN_IF_ERROR(stream->Advance(lease));
  }
  return absl::OkStatus();
}

// The message of a recipe's pass, "prune_nm { m: 3 }", that must be refused when it is read.
std::string RefusedOption(const std::string& pass) {
  const absl::Status status =
      ParsedRecipe::Parse(absl::StrCat("passes { ", pass, " }"), "r", BuiltinPasses()).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

std::shared_ptr<const Pass> PassOf(const std::string& pass) {
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse(absl::StrCat("passes { ", pass, " }"), "r", BuiltinPasses()));
  return recipe.stages().front().pass;
}

}  // namespace

TEST_CASE("prune-wanda removes by weight and input, as the pruned layers before make it") {
  const bool by_row = GENERATE(true, false);
  const auto env = DiskWithWanSamples();
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      CompressWan(
          *env, {absl::StrCat("prune_wanda { amount: 0.4 group: ", by_row ? "ROW" : "LAYER", " }")},
          "/samples", "/out"));
  ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(*env, "/samples"));
  const ModelView original = WanView(*env, "/model"), pruned = WanView(*env, "/out");
  const auto by_definition = [&](const std::string& path, const ModelView& inputs_of) {
    const at::Tensor weight = MatrixOf(original, path);
    const at::Tensor scores = WeightScores(
        weight, InputNorm(inputs_of, std::string(original.BlockOf(path)), path, samples));
    const at::Tensor keep = by_row ? KeepOfRows(scores, CountToPrune(0.4, weight.size(1)))
                                   : KeepOfMatrix(scores, CountToPrune(0.4, weight.numel()));
    return weight.masked_fill(keep.logical_not(), 0);
  };
  // The first layer sees what the model makes of the samples, a later one what the pruned one does.
  const std::string first = "transformer.blocks.0.self_attn.q", last = "transformer.blocks.1.ffn.2";
  CHECK(at::equal(MatrixOf(pruned, first), by_definition(first, original)));
  for (const std::string& path : PrunedLayers(original)) {
    INFO(path);
    CHECK(at::equal(MatrixOf(pruned, path), by_definition(path, pruned)));
  }
  CHECK_FALSE(at::equal(MatrixOf(pruned, last), by_definition(last, original)));
  const auto& metrics = report.passes[0].metrics;
  CHECK(metrics.at("zero_fraction") == Approx(0.4).margin(0.02));
  CHECK(metrics.at("weights") > metrics.at("zero_weights"));
}

TEST_CASE(
    "n of m stay, stored as zeros, masked and packed alike, and the files say what is saved") {
  const auto env = DiskWithWanSamples();
  struct Kind {
    std::string pass;
    int64_t n, m;
  };
  for (const Kind& kind : {Kind{"prune_nm { ", 2, 4},
                           {"prune_nm { score: WANDA n: 1 m: 2 ", 1, 2},
                           {"prune_nm { n: 3 m: 8 ", 3, 8},
                           {"prune_sparsegpt { n: 2 m: 4 ", 2, 4}}) {
    INFO(kind.pass);
    const std::string id = absl::StrCat("/", kind.n, kind.m, kind.pass.size());
    std::map<std::string, int64_t> bytes;
    for (const std::string store : {"ZEROS", "MASK", "PACKED"}) {
      ASSERT_OK_AND_ASSIGN(const RunReport report,
                           CompressWan(*env, {absl::StrCat(kind.pass, " store: ", store, " }")},
                                       "/samples", absl::StrCat(id, store)));
      const double most = 1 - static_cast<double>(kind.n) / static_cast<double>(kind.m);
      CHECK(report.passes[0].metrics.at("zero_fraction") == Approx(most).epsilon(1e-9));
      bytes[store] = report.passes[0].bytes_after - report.passes[0].bytes_before;
    }
    const ModelView original = WanView(*env, "/model"), zeros = WanView(*env, id + "ZEROS"),
                    masked = WanView(*env, id + "MASK"), packed = WanView(*env, id + "PACKED");
    int64_t weights = 0;
    for (const std::string& path : PrunedLayers(original)) {
      INFO(path);
      const at::Tensor matrix = MatrixOf(zeros, path);
      CHECK(FormatOf(zeros, path) == "dense");
      CHECK(FormatOf(masked, path) == "masked");
      CHECK(FormatOf(packed, path) == "sparse_nm");
      CHECK(at::equal(MatrixOf(masked, path), matrix));
      if (absl::StrContains(kind.pass, "sparsegpt")) {
        // Its values follow from inputs, which packed layers make by sums in another order.
        CHECK(at::allclose(MatrixOf(packed, path), matrix, 1e-3, 1e-4));
      } else {
        CHECK(at::equal(MatrixOf(packed, path), matrix));
      }
      const at::Tensor kept = matrix.reshape({matrix.size(0), -1, kind.m}).ne(0).sum(-1);
      CHECK(kept.max().item<int64_t>() == kind.n);
      weights += matrix.numel();
    }
    CHECK(bytes["ZEROS"] == 0);
    CHECK(bytes["MASK"] == weights);
    if (kind.m == 4) CHECK(bytes["PACKED"] == -weights * 4 * 15 / 32);
    for (const Values& values : TransformerInputs(2, 9)) {
      const at::Tensor want = OutputOf(zeros, "transformer", values);
      CHECK(at::equal(OutputOf(masked, "transformer", values), want));
      CHECK(at::allclose(OutputOf(packed, "transformer", values), want, 1e-3, 1e-4));
    }
  }
}

TEST_CASE("a mask is baked by convert, and a packed model prunes again and unpacks") {
  const auto env = DiskWithWanSamples(2);
  const std::string wanda = "prune_wanda { amount: 0.5 store: ";
  const std::string pair = "prune_nm { score: WANDA store: ";
  REQUIRE_OK(CompressWan(*env, {wanda + "ZEROS }"}, "/samples", "/zeros"));
  REQUIRE_OK(CompressWan(*env, {wanda + "MASK }", "convert { }"}, "/samples", "/baked"));
  const ModelView zeros = WanView(*env, "/zeros"), baked = WanView(*env, "/baked");
  REQUIRE_OK(CompressWan(*env, {pair + "ZEROS }"}, "/samples", "/dense"));
  REQUIRE_OK(CompressWan(*env, {pair + "PACKED }", "prune_nm { }"}, "/samples", "/unpacked"));
  REQUIRE_OK(CompressWan(*env, {pair + "PACKED }", "prune_magnitude { amount: 0.6 }"}, "/samples",
                         "/sparser"));
  REQUIRE_OK(CompressWan(*env, {pair + "MASK }", "prune_nm { n: 1 store: PACKED }"}, "/samples",
                         "/quarter"));
  const ModelView dense = WanView(*env, "/dense"), unpacked = WanView(*env, "/unpacked"),
                  sparser = WanView(*env, "/sparser"), quarter = WanView(*env, "/quarter");
  for (const std::string& path : PrunedLayers(zeros)) {
    INFO(path);
    CHECK(FormatOf(baked, path) == "dense");
    CHECK(at::equal(MatrixOf(baked, path), MatrixOf(zeros, path)));
    CHECK(FormatOf(unpacked, path) == "dense");
    CHECK(at::equal(MatrixOf(unpacked, path), MatrixOf(dense, path)));
    const at::Tensor before = MatrixOf(dense, path), after = MatrixOf(sparser, path);
    CHECK(after.eq(0).sum().item<int64_t>() == CountToPrune(0.6, after.numel()));
    CHECK(after.eq(0).logical_or(before.eq(after)).all().item<bool>());
    CHECK(MatrixOf(quarter, path).ne(0).sum().item<int64_t>() == before.numel() / 4);
  }
  // What cannot be done to it is said by name: quantizing wants the dense matrix.
  const absl::Status refused =
      CompressWan(*env, {pair + "PACKED }", "quantize_int8 { }"}, "/samples", "/no").status();
  CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(refused.message()),
             Contains("transformer.blocks.0") && Contains("format sparse_nm"));
  // Quantized after it is unpacked, and zeros stay.
  REQUIRE_OK(CompressWan(*env, {pair + "ZEROS }", "quantize_int8 { }"}, "/samples", "/int8"));
  const ModelView int8 = WanView(*env, "/int8");
  for (const std::string& path : PrunedLayers(zeros)) {
    CHECK(
        MatrixOf(int8, path).ne(0).logical_or(MatrixOf(dense, path).eq(0)).sum().item<int64_t>() >=
        MatrixOf(dense, path).eq(0).sum().item<int64_t>());
    CHECK(MatrixOf(int8, path).masked_select(MatrixOf(dense, path).eq(0)).eq(0).all().item<bool>());
  }
}

TEST_CASE("a packed or masked model that is pruned in rows and cut in units stays one") {
  const auto env = DiskWithWanSamples(2);
  for (const std::string pass :
       {"prune_nm { store: PACKED }", "prune_wanda { amount: 0.5 store: MASK }"}) {
    REQUIRE_OK(CompressWan(*env, {pass}, "/samples", "/out"));
    ModelView model = WanView(*env, "/out");
    const std::string path = "transformer.blocks.0.ffn.2";
    const at::Tensor before = MatrixOf(model, path);
    const at::Tensor keep = at::cat({at::arange(8), at::arange(16, 40)});
    REQUIRE_OK(model.KeepUnits("transformer.blocks.0.ffn.channels", keep));
    CHECK(at::equal(MatrixOf(model, path), before.index_select(1, keep)));
    const absl::Status parted =
        model.KeepUnits("transformer.blocks.0.ffn.channels", at::arange(1, 32));
    CHECK(parted.ok() == absl::StrContains(pass, "MASK"));
    REQUIRE_OK(env->RemoveAll("/out"));
  }
}

TEST_CASE("in rounds the passes come to their amount, and what is zero stays zero") {
  const std::string pass = GENERATE(as<std::string>{}, "prune_wanda { amount: 0.6 }",
                                    "prune_wanda { amount: 0.6 group: LAYER store: MASK }",
                                    "prune_sparsegpt { amount: 0.6 columns: 10 }",
                                    "prune_magnitude { amount: 0.6 store: MASK }");
  INFO(pass);
  const auto env = DiskWithWanSamples(2);
  const std::string repeat = absl::StrCat("repeat { rounds: 3 passes { ", pass, " } }");
  ASSERT_OK_AND_ASSIGN(const RunReport report, CompressWan(*env, {repeat}, "/samples", "/out"));
  REQUIRE(report.passes.size() == 3);
  for (size_t round = 0; round < 3; ++round) {
    CHECK(report.passes[round].metrics.at("zero_fraction") ==
          Approx(0.2 * static_cast<double>(round + 1)).margin(0.03));
  }
  REQUIRE_OK(CompressWan(
      *env,
      {absl::StrCat(absl::StrContains(pass, "sparsegpt")
                        ? "prune_sparsegpt { amount: 0.2 columns: 10 "
                    : absl::StrContains(pass, "LAYER") ? "prune_wanda { group: LAYER amount: 0.2 "
                    : absl::StrContains(pass, "wanda") ? "prune_wanda { amount: 0.2 "
                                                       : "prune_magnitude { amount: 0.2 ",
                    "}")},
      "/samples", "/first"));
  const ModelView first = WanView(*env, "/first"), last = WanView(*env, "/out");
  for (const std::string& path : PrunedLayers(first)) {
    INFO(path);
    CHECK(MatrixOf(last, path).masked_select(MatrixOf(first, path).eq(0)).eq(0).all().item<bool>());
  }
}

TEST_CASE("passes over inputs killed at any write continue to the bytes of an unbroken run") {
  const std::vector<std::string> passes = {GENERATE(
      as<std::string>{}, "prune_wanda { amount: 0.5 store: MASK linears { kinds: 'self_attn.*' } }",
      "prune_sparsegpt { n: 2 m: 4 store: PACKED linears { kinds: 'ffn.*' } }")};
  const auto unbroken = DiskWithWanSamples(1);
  REQUIRE_OK(CompressWan(*unbroken, passes, "/samples", "/out"));
  const auto expected = Tree(*unbroken, "/out");
  int64_t kill = 0, resumed = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = DiskWithWanSamples(1);
    const absl::Status killed =
        CompressWan(*NewFaultEnv(*disk, kill), passes, "/samples", "/out").status();
    if (killed.ok()) break;
    REQUIRE(killed.code() == absl::StatusCode::kResourceExhausted);
    ASSERT_OK_AND_ASSIGN(const RunReport report, CompressWan(*disk, passes, "/samples", "/out"));
    resumed += report.passes[0].resumed;
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(kill > 40);
  CHECK(resumed > kill / 3);
}

TEST_CASE("what makes up for zeros is nearer to the model than what does not") {
  const auto env = DiskWithWanSamples(8);
  std::map<std::string, double> errors;
  const ModelView original = WanView(*env, "/model");
  for (const auto& [name, pass] :
       std::map<std::string, std::string>{{"magnitude", "prune_nm { }"},
                                          {"wanda", "prune_nm { score: WANDA }"},
                                          {"sparsegpt", "prune_sparsegpt { n: 2 m: 4 }"},
                                          {"half", "prune_sparsegpt { amount: 0.5 }"}}) {
    ASSERT_OK_AND_ASSIGN(const RunReport report, CompressWan(*env, {pass}, "/samples", "/" + name));
    errors[name] = ErrorOn(TransformerInputs(6, 77), original, WanView(*env, "/" + name));
    INFO(name << " " << errors[name]);
    CHECK(errors[name] > 1e-3);
    const auto& metrics = report.passes[0].metrics;
    if (absl::StrContains(pass, "sparsegpt")) {
      CHECK(metrics.at("mean_relative_output_error") > 0);
      CHECK(metrics.at("mean_relative_output_error") < 0.7);
    }
  }
  INFO(errors["magnitude"] << " " << errors["wanda"] << " " << errors["sparsegpt"] << " "
                           << errors["half"]);
  CHECK(errors["sparsegpt"] < 0.9 * errors["wanda"]);
  CHECK(errors["sparsegpt"] < 0.9 * errors["magnitude"]);
  CHECK(errors["half"] < 0.9 * errors["magnitude"]);
}

TEST_CASE("what trains below a mask moves, and its zeros stay until they are baked") {
  const auto env = DiskWithWanSamples(1);
  REQUIRE_OK(CompressWan(*env, {"prune_nm { store: MASK }"}, "", "/masked"));
  const ModelView before = WanView(*env, "/masked");
  ModelView model = WanView(*env, "/masked");
  const std::vector<std::string> pruned = PrunedLayers(model);
  std::vector<at::Tensor> trained;
  for (const std::string& path : pruned) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(path));
    for (const WeightTensor& tensor : weight->State()) {
      if (tensor.trains) trained.push_back(tensor.tensor.set_requires_grad(true));
    }
  }
  REQUIRE(trained.size() == pruned.size());
  const BlockProgram* program = ProgramOf(*model.FindComponent("transformer"));
  for (int step = 0; step < 3; ++step) {
    program->Run(TransformerInputs(1, 3)[0]).square().mean().backward();
    for (at::Tensor& tensor : trained) {
      const at::NoGradGuard no_grad;
      // Momentum and decay move what has no gradient too; the mask is what holds.
      tensor.sub_(tensor.grad() * 0.1 + 0.01);
      tensor.mutable_grad().reset();
    }
  }
  for (const std::string& path : pruned) {
    INFO(path);
    const at::Tensor was = MatrixOf(before, path), is = MatrixOf(model, path);
    CHECK(at::equal(is.eq(0), was.eq(0)));
    CHECK_FALSE(at::equal(is, was));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(path));
    ASSERT_OK_AND_ASSIGN(const auto baked, weight->Merge());
    CHECK(at::equal(*baked->dense(), is));
  }
}

TEST_CASE("options of the passes that zero weights are refused by field and value") {
  for (const std::string pass : {"prune_wanda", "prune_sparsegpt", "prune_magnitude"}) {
    INFO(pass);
    CHECK_THAT(RefusedOption(pass + " { }"), Contains("amount: is missing"));
    for (const std::string amount : {"-0.1", "1.5"}) {
      CHECK_THAT(RefusedOption(absl::StrCat(pass, " { amount: ", amount, " }")),
                 Contains("amount: ") && Contains("is not in [0, 1]"));
    }
    CHECK_THAT(RefusedOption(pass + " { amount: 0.5 store: PACKED }"),
               Contains("store: PACKED holds N:M patterns alone"));
  }
  for (const double amount : {std::nan(""), HUGE_VAL}) {
    CHECK_THAT(std::string(CheckAmount(true, amount).message()),
               Contains("amount: ") && Contains("is not in [0, 1]"));
  }
  CHECK_THAT(RefusedOption("prune_nm { n: 4 m: 4 }"), Contains("n: 4 is not in [1, 3]"));
  CHECK_THAT(RefusedOption("prune_nm { n: 0 }"), Contains("n: 0 is not in [1, 3]"));
  CHECK_THAT(RefusedOption("prune_nm { n: 3 m: 2 }"), Contains("n: 3 is not in [1, 1]"));
  CHECK_THAT(RefusedOption("prune_nm { m: 33 }"), Contains("m: 33 is not in [2, 32]"));
  CHECK_THAT(RefusedOption("prune_nm { m: 1 n: 1 }"), Contains("m: 1 is not in [2, 32]"));
  CHECK_THAT(RefusedOption("prune_sparsegpt { amount: 0.5 n: 2 m: 4 }"),
             Contains("amount: and n:m exclude"));
  CHECK_THAT(RefusedOption("prune_sparsegpt { n: 2 }"), Contains("m: is missing"));
  CHECK_THAT(RefusedOption("prune_sparsegpt { m: 4 }"), Contains("n: is missing"));
  CHECK_THAT(RefusedOption("prune_sparsegpt { n: 2 m: 4 columns: 8 }"), Contains("columns: "));
  CHECK_THAT(RefusedOption("prune_sparsegpt { amount: 0.5 columns: 0 }"),
             Contains("columns: 0 is not positive"));
  for (const std::string damping : {"0", "-1", "1.5"}) {
    CHECK_THAT(
        RefusedOption(absl::StrCat("prune_sparsegpt { amount: 0.5 damping: ", damping, " }")),
        Contains("damping: ") && Contains("is not in (0, 1]"));
  }
}

TEST_CASE("what layers cannot have is refused from shapes, before anything is read or written") {
  const auto env = DiskWithWanSamples(1);
  const auto refused = [&](const std::vector<std::string>& passes, const std::string& samples) {
    const absl::Status status = CompressWan(*env, passes, samples, "/no").status();
    CHECK_FALSE(env->FolderExists("/no.run"));
    return status;
  };
  const absl::Status group = refused({"prune_nm { n: 1 m: 16 }"}, "");
  CHECK(group.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(group.message()),
             Contains("transformer.blocks.0.self_attn.q: groups of 16 do not divide its 24 input"));
  const absl::Status samples = refused({"prune_wanda { amount: 0.5 }"}, "");
  CHECK(samples.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(samples.message()), Contains("needs recorded inputs"));
  CHECK_THAT(std::string(refused({"quantize_int8 { }", "prune_nm { }"}, "").message()),
             Contains("transformer.blocks.0.self_attn.q: its weight has the format int8"));
  // Plans from shapes alone.
  const ModelView hollow = WanView(*env, "/model", /*load=*/false);
  ASSERT_OK_AND_ASSIGN(const PassNotes notes, PassOf("prune_nm { store: PACKED }")->Plan(hollow));
  CHECK_THAT(notes.notes.back(), Contains("2:4 packed takes 53 %"));
  CHECK(notes.value_changes.front().second == "288 of 576 weights to zero (50 %)");
  CHECK(notes.block_scratch_bytes > 0);
}

TEST_CASE("weights and inputs that nobody can rank are refused by name") {
  const auto env = DiskWithWanSamples(1);
  ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(*env, "/samples"));
  const std::string ffn = "transformer.blocks.1.ffn.0";
  for (const std::string pass :
       {"prune_wanda { amount: 0.5 }", "prune_nm { }", "prune_nm { score: WANDA }",
        "prune_sparsegpt { amount: 0.5 }", "prune_sparsegpt { n: 2 m: 4 }"}) {
    INFO(pass);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      // In the last layer, so that it spoils no other one's inputs.
      ModelView model = WanView(*env, "/model");
      at::Tensor weight = MatrixOf(model, "transformer.blocks.1.ffn.2").clone();
      weight[2][3] = bad;
      REQUIRE_OK(model.SetLinearWeight("transformer.blocks.1.ffn.2", MakeDenseWeight(weight)));
      const absl::Status status = RunWithSamples(*PassOf(pass), model, &samples);
      CHECK(status.code() == absl::StatusCode::kInvalidArgument);
      CHECK_THAT(std::string(status.message()),
                 Contains("transformer.blocks.1.ffn.2.weight holds a NaN or an infinity"));
    }
    if (pass == "prune_nm { }") continue;
    ModelView silent = WanView(*env, "/model");
    at::Tensor nothing = at::zeros_like(MatrixOf(silent, ffn));
    REQUIRE_OK(silent.SetLinearWeight(ffn, MakeDenseWeight(nothing)));
    ASSERT_OK_AND_ASSIGN(const at::Tensor bias, silent.FindTensor(ffn + ".bias"));
    REQUIRE_OK(silent.SetTensor(ffn + ".bias", at::zeros_like(bias)));
    const absl::Status zero = RunWithSamples(*PassOf(pass), silent, &samples);
    CHECK(zero.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(zero.message()),
               Contains("transformer.blocks.1.ffn.2: its inputs are all zero in the samples"));
    ModelView model = WanView(*env, "/model");
    const absl::Status unreached = RunWithSamples(*PassOf(pass), model, nullptr);
    CHECK(unreached.code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(unreached.message()), Contains("no sample reaches it"));
  }
}

}  // namespace wanlite
