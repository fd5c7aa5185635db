// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// That a run removes and overwrites nothing but what it made itself, and mixes nothing.
#include <unistd.h>

#include <string>

#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/toy_model.h"
#include "wanlite/pipeline.h"
#include "wanlite/progress.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::Compress;
using testing::DiskWithModel;
using testing::KeepUnits;
using testing::OpenFolder;
using testing::TempFolder;
using testing::ToyArchitectures;
using testing::ToyRecipe;
using testing::Tree;
using Disk = std::map<std::string, std::string>;

ParsedRecipe TwoPasses() { return ToyRecipe(KeepUnits(8) + "passes { quantize_int8 {} }"); }

void Store(Env& env, const std::string& path, const std::string& text) {
  REQUIRE_OK(env.CreateFolders(Dirname(path)));
  REQUIRE_OK(env.WriteFileAtomically(path, text));
}

void CopyTree(Env& from, const std::string& dir, Env& to, const std::string& copy) {
  REQUIRE_OK(to.CreateFolders(copy));
  for (const auto& [name, text] : Tree(from, dir)) {
    if (name.back() != '/') Store(to, JoinPath(copy, name), text);
  }
}

// A run of TwoPasses() that was killed in its second pass.
std::unique_ptr<Env> DiskWithKilledRun() {
  for (int64_t kill = 50;; kill += 10) {
    std::unique_ptr<Env> disk = DiskWithModel();
    REQUIRE_FALSE(Compress(*NewFaultEnv(*disk, kill), TwoPasses()).ok());
    if (disk->FileExists("/out.run/stage-2-records/4.textproto")) return disk;
  }
}

void Replace(Env& env, const std::string& path, const std::string& from, const std::string& to) {
  ASSERT_OK_AND_ASSIGN(std::string text, env.ReadFile(path));
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE_OK(env.WriteFileAtomically(path, text.replace(at, from.size(), to)));
}

TEST_CASE("an output inside the run folder, which goes, is refused") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  for (const char* out : {"/busy/small", "/busy", "/busy/", "/other/../busy/a/b"}) {
    INFO(out);
    CompressOptions options;
    options.out_dir = out;
    options.run_dir = "/busy";
    CHECK(Compress(*disk, TwoPasses(), options).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(*disk->ListFolder("/") == std::vector<std::string>{"in"});
}

TEST_CASE("an output inside the run folder is seen through links") {
  const TempFolder temp;
  Env& disk = PosixEnv();
  CopyTree(*DiskWithModel(), "/in", disk, temp / "in");
  REQUIRE_OK(disk.CreateFolders(temp / "work"));
  REQUIRE(::symlink((temp / "work").c_str(), (temp / "link").c_str()) == 0);
  CompressOptions options;
  options.out_dir = temp / "link/small";
  options.run_dir = temp / "work";
  CHECK(
      CompressFolder(disk, TwoPasses(), OpenFolder(disk, temp / "in"), ToyArchitectures(), options)
          .status()
          .code() == StatusCode::kInvalidArgument);
}

TEST_CASE("folders in a run folder that are called like a run's, but are not, refuse it and stay") {
  for (const char* name : {"stage-1-data/photo.png", "stage-1-records/a.textproto",
                           "stage-1-keep-units/wanlite.json", "stage-2-x/y", "lock/a", "lock"}) {
    INFO(name);
    const std::unique_ptr<Env> disk = DiskWithModel();
    Store(*disk, JoinPath("/exp", name), "mine");
    const Disk before = Tree(*disk, "/exp");
    for (const bool restart : {false, true}) {
      CompressOptions options;
      options.run_dir = "/exp";
      options.restart = restart;
      const absl::Status status = Compress(*disk, TwoPasses(), options).status();
      CHECK(status.code() == StatusCode::kFailedPrecondition);
      CHECK(Tree(*disk, "/exp") == before);
    }
    CHECK_FALSE(disk->FolderExists("/out"));
  }
}

TEST_CASE("a source model in the run folder, called like a stage, refuses it and stays") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  CopyTree(*disk, "/in", *disk, "/exp/stage-1-base");
  const Disk before = Tree(*disk, "/exp");
  CompressOptions options;
  options.out_dir = "/out";
  options.run_dir = "/exp";
  for (const bool restart : {false, true}) {
    options.restart = restart;
    CHECK(CompressFolder(*disk, TwoPasses(), OpenFolder(*disk, "/exp/stage-1-base"),
                         ToyArchitectures(), options)
              .status()
              .code() == StatusCode::kFailedPrecondition);
  }
  CHECK(Tree(*disk, "/exp") == before);
}

TEST_CASE("what someone puts into the folder of an unfinished run stays, restarted or not") {
  for (const char* name : {"stage-3-mine/a", "stage-1-other/a", "notes.txt"}) {
    INFO(name);
    const std::unique_ptr<Env> disk = DiskWithKilledRun();
    Store(*disk, JoinPath("/out.run", name), "mine");
    const Disk before = Tree(*disk, "/out.run");
    for (const bool restart : {false, true}) {
      CompressOptions options;
      options.restart = restart;
      CHECK(Compress(*disk, TwoPasses(), options).status().code() ==
            StatusCode::kFailedPrecondition);
      CHECK(Tree(*disk, "/out.run") == before);
    }
  }
}

TEST_CASE("a complete run removes no neighbour by its name") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  const std::vector<std::string> mine{"/out.run.finished/a", "/out.tmp/a", "/out.run.tmp",
                                      "/out.finished/a"};
  for (const std::string& path : mine) Store(*disk, path, "mine");
  REQUIRE_OK(Compress(*disk, TwoPasses()));
  for (const std::string& path : mine) CHECK(*disk->ReadFile(path) == "mine");
  CHECK(disk->FolderExists("/out"));
  CHECK_FALSE(disk->FolderExists("/out.run"));
}

TEST_CASE("a discarded run, killed while it is discarded, is never continued by halves") {
  const ParsedRecipe other = ToyRecipe("passes { quantize_int8 {} }");
  const std::unique_ptr<Env> fresh = DiskWithModel();
  REQUIRE_OK(Compress(*fresh, other));
  CompressOptions restart;
  restart.restart = true;
  for (int64_t kill = 0; kill < 16; ++kill) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> disk = DiskWithKilledRun();
    CHECK_FALSE(Compress(*NewFaultEnv(*disk, kill), other, restart).ok());
    REQUIRE_OK(Compress(*disk, other, restart));
    CHECK(Tree(*disk, "/out") == Tree(*fresh, "/out"));
    CHECK(*disk->ListFolder("/") == std::vector<std::string>{"in", "out"});
  }
}

// Cancels a run of TwoPasses() in its second pass.
class CancelInSecondPass : public ProgressSink {
 public:
  explicit CancelInSecondPass(CancellationToken& token) : token_(token) {}
  void Begin(absl::string_view, int64_t) override { ++passes_; }
  void Update(int64_t done, absl::string_view) override {
    if (passes_ == 2 && done == 4) token_.Cancel();
  }
  void End() override {}

 private:
  CancellationToken& token_;
  int passes_ = 0;
};

TEST_CASE("links in a run folder are refused, and what they lead to stays") {
  const TempFolder temp;
  Env& disk = PosixEnv();
  CopyTree(*DiskWithModel(), "/in", disk, temp / "in");
  Store(disk, temp / "precious/a.tmp", "mine");
  Store(disk, temp / "precious/b.0123456789abcdef.tmp", "mine");
  const auto compress = [&](ProgressSink* progress, const CancellationToken* cancel) {
    CompressOptions options;
    options.out_dir = temp / "out";
    options.progress = progress;
    options.cancel = cancel;
    return CompressFolder(disk, TwoPasses(), OpenFolder(disk, temp / "in"), ToyArchitectures(),
                          options)
        .status();
  };
  CancellationToken token;
  CancelInSecondPass sink(token);
  REQUIRE(compress(&sink, &token).code() == StatusCode::kCancelled);
  for (const char* link : {"out.run/stage-2-quantize-int8/link",
                           "out.run/stage-2-quantize-int8/toy/link", "out.run/link"}) {
    INFO(link);
    REQUIRE(::symlink((temp / "precious").c_str(), (temp / link).c_str()) == 0);
    CHECK(compress(nullptr, nullptr).code() == StatusCode::kFailedPrecondition);
    CHECK(disk.ListFolder(temp / "precious")->size() == 2);
    REQUIRE_OK(disk.RemoveFile(temp / link));
  }
  REQUIRE_OK(compress(nullptr, nullptr));
  CHECK(disk.ListFolder(temp / "precious")->size() == 2);
}

TEST_CASE("a model that changed behind the fingerprint's samples is not mixed with the old one") {
  const std::unique_ptr<Env> disk = DiskWithKilledRun();
  const std::string file = "/in/toy/blocks.1.safetensors";
  const std::string before = OpenFolder(*disk, "/in").fingerprint();
  ASSERT_OK_AND_ASSIGN(std::string bytes, disk->ReadFile(file));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  REQUIRE_OK(disk->WriteFileAtomically(file, bytes));
  REQUIRE(OpenFolder(*disk, "/in").fingerprint() == before);

  const absl::Status status = Compress(*disk, TwoPasses()).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK(std::string(status.message()).find("toy/blocks.1.safetensors") != std::string::npos);
  CompressOptions restart;
  restart.restart = true;
  REQUIRE_OK(Compress(*disk, TwoPasses(), restart));
}

TEST_CASE("a run of another version of the program is not continued") {
  const std::unique_ptr<Env> disk = DiskWithKilledRun();
  Replace(*disk, "/out.run/run_state.textproto", "\"wanlite ", "\"wanlite 0.0.");
  const absl::Status status = Compress(*disk, TwoPasses()).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK(std::string(status.message()).find("wanlite 0.0.") != std::string::npos);
}

TEST_CASE("a run state that names folders outside the run folder is refused, and they stay") {
  for (const char* name : {"../in", "stage-1-x/../../in", "toy", "/in", ""}) {
    INFO(name);
    const std::unique_ptr<Env> disk = DiskWithKilledRun();
    const Disk model = Tree(*disk, "/in");
    Replace(*disk, "/out.run/run_state.textproto", "\"stage-2-records\"",
            "\"" + std::string(name) + "\"");
    for (const bool restart : {false, true}) {
      CompressOptions options;
      options.restart = restart;
      CHECK(Compress(*disk, TwoPasses(), options).status().code() ==
            StatusCode::kFailedPrecondition);
    }
    CHECK(Tree(*disk, "/in") == model);
  }
}

TEST_CASE("a run folder on another file system than the output is refused before the work") {
  const TempFolder temp;
  Env& disk = PosixEnv();
  if (!disk.FolderExists("/dev/shm") || *disk.OnOneFileSystem("/dev/shm", temp / "")) {
    WARN("no second file system here");
    return;
  }
  CopyTree(*DiskWithModel(), "/in", disk, temp / "in");
  CompressOptions options;
  options.out_dir = temp / "out";
  options.run_dir = "/dev/shm/" + Basename(temp / "") + ".run";
  const absl::Status status =
      CompressFolder(disk, TwoPasses(), OpenFolder(disk, temp / "in"), ToyArchitectures(), options)
          .status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK_FALSE(disk.FolderExists(options.run_dir));
  CHECK(*disk.ListFolder(temp / "") == std::vector<std::string>{"in"});
}

TEST_CASE("an output whose name cannot be is refused before the work") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  for (const std::string& out :
       {std::string("/x/."), std::string("/x/.."), std::string("/"), std::string(256, 'x')}) {
    INFO(out);
    CompressOptions options;
    options.out_dir = out;
    options.run_dir = "/busy";
    CHECK(Compress(*disk, TwoPasses(), options).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(*disk->ListFolder("/") == std::vector<std::string>{"in"});
}

TEST_CASE("a model that was made smaller in memory is saved with its new sizes, or not at all") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenFolder(*disk, "/in").BuildView());
  REQUIRE_OK(view.LoadAll());
  REQUIRE_OK(CompressInMemory(ToyRecipe(KeepUnits(8)), view));
  REQUIRE_OK(SaveCheckpoint(*disk, "/small", view));
  ASSERT_OK_AND_ASSIGN(ModelView back, OpenFolder(*disk, "/small").BuildView());
  CHECK(back.Fingerprint() == view.Fingerprint());

  // Made by hand, it does not know how its config tells sizes.
  std::vector<Component> components;
  components.push_back(testing::ToyComponent(testing::MakeToyModel(1), "toy"));
  ASSERT_OK_AND_ASSIGN(ModelView by_hand, ModelView::Create(std::move(components)));
  REQUIRE_OK(SaveCheckpoint(*disk, "/whole", by_hand));
  REQUIRE_OK(CompressInMemory(ToyRecipe(KeepUnits(8)), by_hand));
  CHECK(SaveCheckpoint(*disk, "/stale", by_hand).code() == StatusCode::kFailedPrecondition);
  CHECK_FALSE(disk->FolderExists("/stale"));
}

}  // namespace
}  // namespace wanlite
