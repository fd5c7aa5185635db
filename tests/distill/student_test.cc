// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass student in recipes, on a tiny Wan model of two experts.
#include "src/distill/student.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/seeded.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::FilesOf;
using testing::RelativeL2;
using testing::WanView;

std::unique_ptr<Env> DiskWithExperts(int layers = 3) {
  std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.layers = layers;
  options.vae = options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", options));
  return env;
}

at::Tensor OutputAt(const ModelView& view, const std::string& component) {
  return testing::OutputOf(view, component, testing::TransformerInputs(3, 11)[1]);
}

nlohmann::json IndexAt(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const std::string text, env.ReadFile(JoinPath(dir, "model_index.json")));
  return nlohmann::json::parse(text);
}

TEST_CASE("which blocks a mapping keeps") {
  using Kept = std::vector<int64_t>;
  CHECK(MapBlocks(StudentOptions::UNIFORM, 40, 4) == Kept{0, 13, 26, 39});
  CHECK(MapBlocks(StudentOptions::UNIFORM, 6, 3) == Kept{0, 3, 5});
  CHECK(MapBlocks(StudentOptions::UNIFORM, 6, 1) == Kept{0});
  CHECK(MapBlocks(StudentOptions::FIRST, 6, 2) == Kept{0, 1});
  CHECK(MapBlocks(StudentOptions::LAST, 6, 2) == Kept{4, 5});
  for (int64_t blocks = 1; blocks < 20; ++blocks) {
    for (int64_t count = 1; count <= blocks; ++count) {
      const Kept kept = MapBlocks(StudentOptions::UNIFORM, blocks, count);
      REQUIRE(std::set<int64_t>(kept.begin(), kept.end()).size() == static_cast<size_t>(count));
      REQUIRE(std::is_sorted(kept.begin(), kept.end()));
      REQUIRE(kept.front() == 0);
      if (count > 1) REQUIRE(kept.back() == blocks - 1);
    }
  }
}

TEST_CASE("A student of fewer blocks computes what the teacher does without the others") {
  const std::unique_ptr<Env> disk = DiskWithExperts(/*layers=*/4);
  REQUIRE_OK(CompressWan(*disk, {"student { blocks: 2 mapping: UNIFORM }"}, "", "/out").status());
  REQUIRE_OK(CompressWan(*disk, {"drop_blocks { blocks: \"*.blocks.1\" blocks: \"*.blocks.2\" }"},
                         "", "/dropped")
                 .status());
  const ModelView student = WanView(*disk, "/out"), dropped = WanView(*disk, "/dropped");
  for (const char* component : {"transformer", "transformer_2"}) {
    CHECK(at::equal(OutputAt(student, component), OutputAt(dropped, component)));
    // Teachers pair blocks by what they were.
    CHECK(student.FindComponent(component)->block_origin ==
          std::map<std::string, std::string>{{"blocks.0", "blocks.0"}, {"blocks.1", "blocks.3"}});
  }
  REQUIRE_OK(CompressWan(*disk, {"student { keep_blocks: [0, 3] components: \"transformer_2\" }"},
                         "", "/one")
                 .status());
  const ModelView one = WanView(*disk, "/one");
  CHECK(at::equal(OutputAt(one, "transformer_2"), OutputAt(dropped, "transformer_2")));
  CHECK(at::equal(OutputAt(one, "transformer"), OutputAt(WanView(*disk, "/model"), "transformer")));
}

TEST_CASE("A fresh student has its sizes and none of the teacher's values, and learns") {
  const std::unique_ptr<Env> disk = DiskWithExperts();
  const std::string fresh =
      "student { values: FRESH blocks: 2 sizes { kind: \"ffn.channels\" units: 16 } "
      "sizes { kind: \"width\" units: 12 } sizes { kind: \"*attn.heads\" units: 1 } }";
  ASSERT_OK_AND_ASSIGN(const RunReport report, CompressWan(*disk, {fresh}, "", "/out"));
  CHECK(report.passes[0].metrics.at("fresh_values") > 1000);
  const ModelView view = WanView(*disk, "/out");
  ASSERT_OK_AND_ASSIGN(const at::Tensor up, view.FindTensor("transformer.blocks.1.ffn.0.weight"));
  CHECK(up.sizes() == at::IntArrayRef({16, 12}));
  ASSERT_OK_AND_ASSIGN(const at::Tensor q,
                       view.FindTensor("transformer.blocks.0.self_attn.q.weight"));
  CHECK(q.sizes() == at::IntArrayRef({12, 12}));
  ASSERT_OK_AND_ASSIGN(const at::Tensor norm,
                       view.FindTensor("transformer.blocks.0.self_attn.norm_q.weight"));
  CHECK(at::equal(norm, at::ones({12})));
  ASSERT_OK_AND_ASSIGN(const at::Tensor other,
                       view.FindTensor("transformer_2.blocks.0.self_attn.q.weight"));
  CHECK_FALSE(at::equal(q, other));
  // The head is zero, so that the student begins by giving zero.
  CHECK(OutputAt(view, "transformer").abs().max().item<double>() == 0);
  // Another seed, other values; the same seed, the same bytes.
  REQUIRE_OK(CompressWan(*disk, {fresh}, "", "/again").status());
  CHECK(FilesOf(*disk, "/again") == FilesOf(*disk, "/out"));
  REQUIRE_OK(CompressWan(*disk, {fresh}, "", "/seeded", /*seed=*/8).status());
  CHECK_FALSE(at::equal(
      q, WanView(*disk, "/seeded").FindTensor("transformer.blocks.0.self_attn.q.weight").value()));

  testing::WriteSampleSet(*disk, "/samples", "transformer", testing::TransformerInputs(8, 3));
  ASSERT_OK_AND_ASSIGN(
      const RunReport taught,
      CompressWan(*disk,
                  {fresh,
                   "recover { method: MODEL components: \"transformer\" loop { steps: 60 batch: 4 "
                   "learning_rate: 0.01 } }"},
                  "/samples", "/taught"));
  CHECK(taught.passes[1].metrics.at("transformer.error_before") == Approx(1));
  CHECK(taught.passes[1].metrics.at("transformer.error_after") < 0.95);
}

TEST_CASE("Two experts become one network, which begins as either or as their mean") {
  const std::unique_ptr<Env> disk = DiskWithExperts();
  const ModelView both = WanView(*disk, "/model");
  CHECK(IndexAt(*disk, "/model")["boundary_ratio"].is_number());
  for (const std::string from : {"FROM_FIRST", "FROM_SECOND", "MEAN"}) {
    INFO(from);
    const std::string out = "/" + from;
    REQUIRE_OK(CompressWan(*disk, {"student { experts: " + from + " }"}, "", out).status());
    const ModelView one = WanView(*disk, out);
    REQUIRE(one.components().size() == 1);
    CHECK(one.components()[0].name == "transformer");
    CHECK_FALSE(disk->FolderExists(out + "/transformer_2"));
    const nlohmann::json index = IndexAt(*disk, out);
    CHECK(index["boundary_ratio"].is_null());
    CHECK(index["transformer_2"] == nlohmann::json::array({nullptr, nullptr}));
    CHECK(index["transformer"] == IndexAt(*disk, "/model")["transformer"]);
    if (from == "MEAN") {
      for (const NamedTensor& named : one.Tensors()) {
        const std::string inside = named.name.substr(std::string("transformer.").size());
        const at::Tensor a = both.FindTensor("transformer." + inside).value(),
                         b = both.FindTensor("transformer_2." + inside).value();
        REQUIRE(at::allclose(named.tensor, (a + b) / 2));
      }
    } else {
      const char* expert = from == "FROM_FIRST" ? "transformer" : "transformer_2";
      CHECK(at::equal(OutputAt(one, "transformer"), OutputAt(both, expert)));
    }
  }
  // With fewer blocks at once; and what follows in a recipe sees one network.
  REQUIRE_OK(CompressWan(*disk,
                         {"student { experts: FROM_SECOND keep_blocks: [0, 2] }",
                          "prune_ffn { amount: 0.5 }"},
                         "", "/small")
                 .status());
  REQUIRE_OK(CompressWan(*disk, {"student { keep_blocks: [0, 2] }"}, "", "/short").status());
  REQUIRE_OK(
      CompressWan(*disk, {"student { experts: FROM_SECOND keep_blocks: [0, 2] }"}, "", "/merged")
          .status());
  CHECK(at::equal(OutputAt(WanView(*disk, "/merged"), "transformer"),
                  OutputAt(WanView(*disk, "/short"), "transformer_2")));
  CHECK(WanView(*disk, "/small").components().size() == 1);
}

TEST_CASE("A merged student runs as a model of one expert, on any disk") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model"));
  REQUIRE_OK(CompressWan(*env, {"student { experts: FROM_FIRST }"}, "", "/one").status());
  REQUIRE_OK(CompressWan(*env, {"student { experts: FROM_SECOND }"}, "", "/other").status());
  std::vector<at::Tensor> latents;
  for (const char* dir : {"/one", "/other"}) {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, dir, {}, BuiltinArchitectures()));
    for (const std::string& note : folder.notes()) {
      INFO(note);
      CHECK_FALSE(absl::StrContains(note, "transformer_2"));
    }
    ExportOptions exported;
    REQUIRE_OK(ExportFolder(*env, folder, absl::StrCat(dir, "-diffusers"), exported));
    ASSERT_OK_AND_ASSIGN(
        const ModelFolder again,
        ModelFolder::Open(*env, absl::StrCat(dir, "-diffusers"), {}, BuiltinArchitectures()));
    CHECK(again.component_names().size() == 3);
  }
}

TEST_CASE("A student, killed at any write, comes out the same") {
  const std::string passes[] = {"student { values: FRESH blocks: 1 }",
                                "student { experts: MEAN keep_blocks: [1] }"};
  for (const std::string& pass : passes) {
    const std::unique_ptr<Env> whole = DiskWithExperts(/*layers=*/2);
    const auto counting = NewFaultEnv(*whole, -1);
    REQUIRE_OK(CompressWan(*counting, {pass}, "", "/out").status());
    const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
    const int64_t writes = counting->writes();
    for (int64_t fail_at = 0; fail_at < writes; fail_at += 3) {
      const std::unique_ptr<Env> disk = DiskWithExperts(/*layers=*/2);
      {
        const auto failing = NewFaultEnv(*disk, fail_at);
        if (CompressWan(*failing, {pass}, "", "/out").ok()) REQUIRE(fail_at > writes - 10);
      }
      INFO(pass << ": killed at write " << fail_at << " of " << writes);
      const absl::Status again = CompressWan(*disk, {pass}, "", "/out").status();
      if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
      REQUIRE(FilesOf(*disk, "/out") == expected);
    }
  }
}

TEST_CASE("student refuses what it cannot make before anything is read") {
  const auto error = [](const std::string& options) {
    const auto parsed = ParsedRecipe::Parse(absl::StrCat("passes { student { ", options, " } }"),
                                            "r.textproto", BuiltinPasses());
    CHECK_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  CHECK_THAT(error(""), Contains("student.blocks") && Contains("nothing would change"));
  CHECK_THAT(error("blocks: 0"), Contains("student.blocks: 0 leaves nothing"));
  CHECK_THAT(error("blocks: 1 keep_blocks: 0"), Contains("student.keep_blocks"));
  CHECK_THAT(error("keep_blocks: [1, 1]"), Contains("student.keep_blocks[1]: 1 is below 2"));
  CHECK_THAT(error("keep_blocks: -1"), Contains("student.keep_blocks[0]"));
  CHECK_THAT(error("mapping: LAST values: FRESH"), Contains("student.mapping"));
  CHECK_THAT(error("blocks: 1 sizes { kind: \"width\" units: 4 }"), Contains("prune_width"));
  CHECK_THAT(error("values: FRESH sizes { kind: \"width\" }"), Contains("student.sizes[0].units"));
  CHECK_THAT(error("values: FRESH experts: MEAN"), Contains("student.experts"));
  CHECK_THAT(error("experts: MEAN components: \"*\""), Contains("student.components"));

  const std::unique_ptr<Env> disk = DiskWithExperts();
  const auto refused = [&](const std::vector<std::string>& passes) {
    const absl::Status status = CompressWan(*disk, passes, "", "/no").status();
    CHECK_FALSE(disk->FolderExists("/no.run"));
    return std::string(status.message());
  };
  CHECK_THAT(refused({"student { blocks: 4 }"}), Contains("4 is more than the 3 blocks"));
  CHECK_THAT(refused({"student { keep_blocks: [0, 3] }"}), Contains("keep_blocks[1]"));
  CHECK_THAT(refused({"student { blocks: 1 components: \"vae\" }"}), Contains("components[0]"));
  CHECK_THAT(refused({"student { values: FRESH sizes { kind: \"gears\" units: 1 } }"}),
             Contains("student: sizes[0].kind"));
  CHECK_THAT(refused({"student { values: FRESH sizes { kind: \"width\" units: 25 } }"}),
             Contains("student: sizes[0].units: 25 is more than the 24"));
  CHECK_THAT(refused({"quantize_int8 { }", "student { values: FRESH }"}),
             Contains("has the format int8"));
  CHECK_THAT(refused({"quantize_int8 { }", "student { experts: MEAN }"}), Contains("mean"));
  CHECK_THAT(refused({"student { experts: MEAN }", "student { experts: MEAN }"}),
             Contains("two denoisers become one, and the model has 1"));
  CHECK_THAT(refused({"prune_ffn { amount: 0.5 units { components: \"transformer\" } }",
                      "student { experts: MEAN }"}),
             Contains("only experts of the same sizes"));
  CHECK_THAT(refused({"student { keep_blocks: [0, 1] components: \"transformer\" }",
                      "student { experts: FROM_SECOND }"}),
             Contains("have not kept the same blocks"));
  // Quantized experts give all of their values.
  REQUIRE_OK(
      CompressWan(*disk, {"quantize_int8 { }", "student { experts: FROM_SECOND }"}, "", "/int8")
          .status());
  REQUIRE_OK(CompressWan(*disk, {"quantize_int8 { }"}, "", "/both").status());
  CHECK(at::equal(OutputAt(WanView(*disk, "/int8"), "transformer"),
                  OutputAt(WanView(*disk, "/both"), "transformer_2")));
}

}  // namespace
}  // namespace wanlite
