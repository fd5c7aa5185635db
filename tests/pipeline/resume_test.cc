// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "wanlite/pipeline.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::Compress;
using testing::Counts;
using testing::DiskWithModel;
using testing::Int8Smallest;
using testing::KeepStrongest;
using testing::KeepUnits;
using testing::ScaleModel;
using testing::Steps;
using testing::ToyCounts;
using testing::ToyRecipe;
using testing::Tree;

// Every kind of pass: with a decision before the first block, that gives widths, over one component
// with a state of its own, with new formats by decision.
ParsedRecipe EveryKind() {
  return ToyRecipe(
      "seed: 3 passes { prune_magnitude { amount: 0.3 scope: GLOBAL linears { components: "
      "'toy' } } }" +
      KeepStrongest(0.8) + Steps(3) + Int8Smallest());
}

using Files = std::map<std::string, std::string>;

Files Unbroken(const ParsedRecipe& recipe) {
  const std::unique_ptr<Env> env = DiskWithModel();
  REQUIRE_OK(Compress(*env, recipe));
  return Tree(*env, "/out");
}

TEST_CASE("a run killed at any write continues to the bytes of an unbroken run") {
  const ParsedRecipe recipe = EveryKind();
  Counts() = ToyCounts();
  const Files expected = Unbroken(recipe);
  REQUIRE(Counts().decisions == 2);
  REQUIRE(Counts().steps == 3);
  int64_t kill = 0;
  int64_t resumed = 0, decided_twice = 0, repeated_steps = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> disk = DiskWithModel();
    const std::unique_ptr<FaultEnv> dying = NewFaultEnv(*disk, kill);
    Counts() = ToyCounts();
    const absl::StatusOr<RunReport> killed = Compress(*dying, recipe);
    // What is at the output's place is complete or is not there.
    if (disk->FolderExists("/out")) REQUIRE(Tree(*disk, "/out") == expected);
    if (killed.ok()) break;
    REQUIRE(killed.status().code() == StatusCode::kResourceExhausted);
    const bool decided = disk->FileExists("/out.run/stage-2-records/decision.pb");

    ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*disk, recipe));
    REQUIRE(Tree(*disk, "/out") == expected);
    REQUIRE(*disk->ListFolder("/") == std::vector<std::string>{"in", "out"});
    resumed += std::any_of(report.passes.begin(), report.passes.end(),
                           [](const PassReport& pass) { return pass.resumed; });
    // Only what had not been written down is decided again, and one step at most taken again.
    if (decided) CHECK(Counts().decisions == 2);
    CHECK(Counts().decisions <= 3);
    CHECK(Counts().steps <= 4);
    CHECK(Counts().whole_models == 0);
    decided_twice += Counts().decisions == 3;
    repeated_steps += Counts().steps == 4;
  }
  // Killed in the very last step, when all is published, a run counts as complete.
  CHECK(kill > 100);
  // The larger part of the kills came when there was something to continue from.
  CHECK(resumed > kill / 2);
  // To write a decision or a state down takes a folder and the steps of an atomic file.
  CHECK(decided_twice > 0);
  CHECK(decided_twice <= 2 * 8);
  CHECK(repeated_steps > 0);
  CHECK(repeated_steps <= 3 * 8);
}

TEST_CASE("a damaged decision is not followed: its stage begins anew") {
  const ParsedRecipe recipe = ToyRecipe(KeepStrongest(0.8) + Int8Smallest());
  const Files expected = Unbroken(recipe);
  const std::string path = "/out.run/stage-2-records/decision.pb";
  for (int64_t kill = 100;; kill += 10) {
    const std::unique_ptr<Env> disk = DiskWithModel();
    REQUIRE_FALSE(Compress(*NewFaultEnv(*disk, kill), recipe).ok());
    if (!disk->FileExists("/out.run/stage-2-records/3.textproto")) continue;
    // Another linear than the one that was chosen: it parses, and is not what was written.
    ASSERT_OK_AND_ASSIGN(std::string bytes, disk->ReadFile(path));
    const size_t at = bytes.find(".down");
    REQUIRE(at != std::string::npos);
    REQUIRE_OK(disk->WriteFileAtomically(path, bytes.replace(at, 5, ".gate")));
    Counts() = ToyCounts();
    REQUIRE_OK(Compress(*disk, recipe));
    CHECK(Counts().decisions == 1);
    CHECK(Tree(*disk, "/out") == expected);
    break;
  }
}

// How often a run may be killed and still get on depends on its longest stretch without a resume
// point: a block in block scope, a whole stage in model scope, which starts over.
TEST_CASE("a run killed again and again still gives the bytes of an unbroken run") {
  const auto [stride, model_scope] =
      GENERATE(std::make_pair<int64_t>(37, false), std::make_pair<int64_t>(53, false),
               std::make_pair<int64_t>(151, true), std::make_pair<int64_t>(211, true));
  const ParsedRecipe recipe =
      model_scope ? EveryKind()
                  : ToyRecipe("seed: 3 passes { prune_magnitude { amount: 0.3 scope: GLOBAL } }" +
                              KeepUnits(8) + "passes { quantize_int8 {} }");
  const Files expected = Unbroken(recipe);
  INFO("killed after every " << stride << " writes");
  const std::unique_ptr<Env> disk = DiskWithModel();
  int runs = 0;
  for (; runs < 200; ++runs) {
    const std::unique_ptr<FaultEnv> dying = NewFaultEnv(*disk, stride);
    if (Compress(*dying, recipe).ok()) break;
  }
  INFO("after " << runs << " runs");
  REQUIRE(runs > 1);
  REQUIRE(runs < 200);
  CHECK(Tree(*disk, "/out") == expected);
}

// Cancels at the n-th block.
class CancelAt : public ProgressSink {
 public:
  CancelAt(int blocks, CancellationToken& token) : blocks_(blocks), token_(token) {}
  void Begin(absl::string_view what, int64_t total) override {}
  void Update(int64_t done, absl::string_view note) override {
    if (blocks_-- == 0) token_.Cancel();
  }
  void End() override {}

 private:
  int blocks_;
  CancellationToken& token_;
};

TEST_CASE("a run cancelled after any block continues to the bytes of an unbroken run") {
  const ParsedRecipe recipe = EveryKind();
  const Files expected = Unbroken(recipe);
  int blocks = 0;
  for (;; ++blocks) {
    INFO("cancelled after block " << blocks);
    const std::unique_ptr<Env> disk = DiskWithModel();
    CancellationToken token;
    CancelAt sink(blocks, token);
    CompressOptions options;
    options.progress = &sink;
    options.cancel = &token;
    const absl::StatusOr<RunReport> cancelled = Compress(*disk, recipe, options);
    if (cancelled.ok()) break;
    REQUIRE(cancelled.status().code() == StatusCode::kCancelled);
    REQUIRE_FALSE(disk->FolderExists("/out"));
    REQUIRE_OK(Compress(*disk, recipe));
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(blocks >=
        4 * 6 - 1);  // four passes over six blocks; after the last there is nothing to cancel
}

// A disk with a run that was killed in its second pass, after a few blocks.
std::unique_ptr<Env> DiskWithUnfinishedRun(const ParsedRecipe& recipe) {
  static int64_t kill = 50;  // found once
  for (;; kill += 10) {
    std::unique_ptr<Env> disk = DiskWithModel();
    REQUIRE_FALSE(Compress(*NewFaultEnv(*disk, kill), recipe).ok());
    if (disk->FileExists("/out.run/stage-2-records/3.textproto")) return disk;
  }
}

TEST_CASE("an unfinished run of another recipe or model is refused, and discarded when asked") {
  const ParsedRecipe recipe = EveryKind();
  const std::unique_ptr<Env> disk = DiskWithUnfinishedRun(recipe);
  const Files before = Tree(*disk, "/out.run");

  const ParsedRecipe other = ToyRecipe("passes { quantize_int8 {} }");
  const absl::Status refused = Compress(*disk, other).status();
  CHECK(refused.code() == StatusCode::kFailedPrecondition);
  CHECK(
      std::string(refused.message()).find("/out.run: holds an unfinished run of another recipe") ==
      0);
  CHECK(Tree(*disk, "/out.run") == before);

  const std::unique_ptr<Env> other_disk = DiskWithModel(/*seed=*/9);
  REQUIRE_OK(disk->Rename("/in", "/original"));
  REQUIRE_OK(disk->CreateFolders("/in"));
  for (const auto& [name, text] : Tree(*other_disk, "/in")) {
    const std::string path = JoinPath("/in", name);
    REQUIRE_OK(name.back() == '/' ? disk->CreateFolders(path)
                                  : disk->WriteFileAtomically(path, text));
  }
  const absl::Status other_model = Compress(*disk, recipe).status();
  CHECK(other_model.code() == StatusCode::kFailedPrecondition);
  CHECK(std::string(other_model.message()).find("another model") != std::string::npos);
  REQUIRE_OK(disk->RemoveAll("/in"));
  REQUIRE_OK(disk->Rename("/original", "/in"));

  CompressOptions restart;
  restart.restart = true;
  REQUIRE_OK(Compress(*disk, other, restart));
  CHECK(Tree(*disk, "/out") == Unbroken(other));
  CHECK_FALSE(disk->FolderExists("/out.run"));
}

TEST_CASE("a damaged block or record of an unfinished run is made again") {
  const ParsedRecipe recipe = EveryKind();
  const Files expected = Unbroken(recipe);
  const Files run = Tree(*DiskWithUnfinishedRun(recipe), "/out.run");
  int damaged = 0;
  for (const auto& [name, text] : run) {
    const bool block =
        name.find("stage-2-keep-strongest/") == 0 && name.find(".safetensors") != std::string::npos;
    const bool record = name.find("stage-2-records/") == 0 && name.back() != '/';
    if (!block && !record) continue;
    INFO(name);
    ++damaged;
    const std::unique_ptr<Env> disk = DiskWithUnfinishedRun(recipe);
    REQUIRE_OK(
        disk->WriteFileAtomically(JoinPath("/out.run", name), text.substr(0, text.size() / 2)));
    REQUIRE_OK(Compress(*disk, recipe));
    CHECK(Tree(*disk, "/out") == expected);
  }
  CHECK(damaged >= 4);
}

TEST_CASE("a damaged state is reported, never guessed at") {
  const ParsedRecipe recipe = EveryKind();
  const std::unique_ptr<Env> disk = DiskWithUnfinishedRun(recipe);
  const std::string path = "/out.run/run_state.textproto";
  const std::string good = *disk->ReadFile(path);
  for (const std::string& bad :
       {good.substr(0, good.size() - 4), std::string("format_version: 4\n"), std::string("x"),
        std::string()}) {
    INFO(bad);
    REQUIRE_OK(disk->WriteFileAtomically(path, bad));
    const absl::Status status = Compress(*disk, recipe).status();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(std::string(status.message()).find("restart") != std::string::npos);
  }
}

TEST_CASE("a run folder with files of someone else is refused and kept") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  REQUIRE_OK(disk->CreateFolders("/precious"));
  REQUIRE_OK(disk->WriteFileAtomically("/precious/photo.png", "1"));
  for (const bool restart : {false, true}) {
    CompressOptions options;
    options.run_dir = "/precious";
    options.restart = restart;
    const absl::Status status = Compress(*disk, EveryKind(), options).status();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(std::string(status.message()).find("photo.png") != std::string::npos);
  }
  CHECK(Tree(*disk, "/precious") == Files{{"photo.png", "1"}});
}

TEST_CASE("two runs never work in one run folder") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  REQUIRE_OK(disk->CreateFolders("/out.run"));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileLock> lock, disk->Lock("/out.run/lock"));
  CHECK(Compress(*disk, EveryKind()).status() ==
        absl::UnavailableError("/out.run: another process is running there"));
  lock.reset();
  REQUIRE_OK(Compress(*disk, EveryKind()));
}

}  // namespace
}  // namespace wanlite
