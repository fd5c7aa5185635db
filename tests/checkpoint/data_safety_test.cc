// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// That writing models loses nobody's data, and reading them shows nobody else's.
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/file_tools.h"
#include "src/proto/manifest.pb.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::DenoiserConfig;
using testing::MakeToy;
using testing::Put;
using testing::ReadTree;
using testing::TempFolder;
using testing::Toys;
using testing::VaeConfig;

constexpr FolderLayout kLayouts[] = {FolderLayout::kDiffusers, FolderLayout::kOriginal,
                                     FolderLayout::kWanlite};

// Tensors of several pages, so that samples do not cover them.
ModelView WideView() {
  auto view = ModelView::Create({MakeToy("ToyDenoiser", "transformer", DenoiserConfig(64, 2), 1),
                                 MakeToy("ToyVae", "vae", VaeConfig(), 4)});
  REQUIRE_OK(view);
  return *std::move(view);
}

// The checkpoint "c" with a tokenizer, and its folder.
ModelFolder Saved(Env& env, const std::string& dir) {
  REQUIRE_OK(SaveCheckpoint(env, dir, WideView()));
  Put(env, JoinPath(dir, "tokenizer/spiece.model"), "pieces");
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(env, dir, {}, Toys()));
  return folder;
}

TEST_CASE("saving and exporting keep a neighbour called like a temporary folder") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelFolder folder = Saved(*env, "c");
  Put(*env, "x.tmp/mine", "1");
  Put(*env, "y.tmp", "2");
  for (const FolderLayout layout : kLayouts) {
    ExportOptions options;
    options.layout = layout;
    REQUIRE_OK(ExportFolder(*env, folder, "x", options));
    REQUIRE_OK(env->RemoveAll("x"));
  }
  REQUIRE_OK(SaveCheckpoint(*env, "x", WideView()));
  REQUIRE_OK(SaveCheckpoint(*env, "y", WideView()));
  REQUIRE(*env->ReadFile("x.tmp/mine") == "1");
  REQUIRE(*env->ReadFile("y.tmp") == "2");
}

TEST_CASE("of two exports to one output one wins whole and the other fails") {
  for (const FolderLayout layout : kLayouts) {
    INFO(FolderLayoutName(layout));
    const std::unique_ptr<Env> env = NewMemEnv();
    const ModelFolder folder = Saved(*env, "c");
    ExportOptions quick;
    quick.layout = layout;
    REQUIRE_OK(ExportFolder(*env, folder, "alone", quick));
    ExportOptions slow = quick;
    slow.dtype = at::kHalf;
    bool first = true;
    slow.progress = [&](int64_t, int64_t) {
      if (std::exchange(first, false)) REQUIRE_OK(ExportFolder(*env, folder, "x", quick));
    };
    REQUIRE(absl::IsAlreadyExists(ExportFolder(*env, folder, "x", slow)));
    REQUIRE(ReadTree(*env, "x") == ReadTree(*env, "alone"));
    REQUIRE(*env->ListFolder("") == std::vector<std::string>{"alone", "c", "x"});
  }
}

TEST_CASE("a cancelled export, whenever it is cancelled, leaves nothing") {
  for (const FolderLayout layout : kLayouts) {
    const std::unique_ptr<Env> env = NewMemEnv();
    const ModelFolder folder = Saved(*env, "c");
    for (int at = 0;; ++at) {
      INFO(FolderLayoutName(layout) << " at " << at);
      CancellationToken token;
      int tensors = 0;
      ExportOptions options;
      options.layout = layout;
      options.cancel = &token;
      options.progress = [&](int64_t, int64_t) {
        if (++tensors == at) token.Cancel();
      };
      if (at == 0) token.Cancel();
      const absl::Status status = ExportFolder(*env, folder, "x", options);
      if (status.ok()) {
        REQUIRE(at > 1);
        break;
      }
      REQUIRE(absl::IsCancelled(status));
      REQUIRE(*env->ListFolder("") == std::vector<std::string>{"c"});
    }
  }
}

TEST_CASE("hashing and verifying stop when they are cancelled") {
  const std::unique_ptr<Env> env = NewMemEnv();
  Saved(*env, "c");
  CancellationToken token;
  OpenOptions options;
  options.verify = true;
  options.cancel = &token;
  REQUIRE_OK(ModelFolder::Open(*env, "c", options, Toys()));
  token.Cancel();
  REQUIRE(absl::IsCancelled(ModelFolder::Open(*env, "c", options, Toys()).status()));
  REQUIRE(absl::IsCancelled(HashFile(*env, "c/vae/rest.safetensors", &token).status()));
  REQUIRE_OK(HashFile(*env, "c/vae/rest.safetensors"));
}

TEST_CASE("the fingerprint of a foreign folder sees a change at either end of every tensor") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ExportOptions diffusers;
  REQUIRE_OK(ExportFolder(*env, Saved(*env, "c"), "x", diffusers));
  const auto fingerprint = [&](const std::string& dir) {
    auto folder = ModelFolder::Open(*env, dir, {}, Toys());
    REQUIRE_OK(folder);
    return folder->fingerprint();
  };
  const std::string good = fingerprint("x");
  // It is of the content alone, wherever that lies.
  for (const auto& [path, bytes] : ReadTree(*env, "x")) Put(*env, JoinPath("copy/of", path), bytes);
  REQUIRE(fingerprint("copy/of") == good);
  int changed = 0;
  for (const char* file : {"x/transformer/diffusion_pytorch_model.safetensors",
                           "x/vae/diffusion_pytorch_model.safetensors"}) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile(file));
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    const auto json = nlohmann::json::parse(bytes.substr(sizeof(header), header));
    for (const auto& [name, entry] : json.items()) {
      if (!entry.contains("data_offsets")) continue;
      const size_t data = sizeof(header) + header;
      for (const size_t at : {data + entry["data_offsets"][0].get<size_t>(),
                              data + entry["data_offsets"][1].get<size_t>() - 1}) {
        INFO(file << " " << name << " at " << at);
        std::string bad = bytes;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        Put(*env, file, bad);
        REQUIRE(fingerprint("x") != good);
        ++changed;
      }
    }
    Put(*env, file, bytes);
  }
  REQUIRE(changed > 20);
  REQUIRE(fingerprint("x") == good);
}

void Link(const std::string& target, const std::string& link) {
  REQUIRE_OK(PosixEnv().RemoveAll(link));
  REQUIRE(::symlink(target.c_str(), link.c_str()) == 0);
}

TEST_CASE("a link out of the model folder is refused, whatever it stands for") {
  const TempFolder temp;
  Env& env = PosixEnv();
  ExportOptions diffusers;
  REQUIRE_OK(ExportFolder(env, Saved(env, temp / "c"), temp / "m", diffusers));
  Put(env, temp / "m/scheduler/scheduler_config.json", "{}");
  for (const char* name :
       {"tokenizer/spiece.model", "tokenizer/secret.json", "model_index.json",
        "scheduler/scheduler_config.json", "transformer/config.json", "tokenizer", "transformer",
        "transformer/diffusion_pytorch_model.safetensors"}) {
    INFO(name);
    REQUIRE_OK(env.RemoveAll(temp / "x"));
    const auto good = ReadTree(env, temp / "m");
    for (const auto& [path, bytes] : good) Put(env, temp / ("x/" + path), bytes);
    // What it leads to would do, were it in the folder.
    const std::string target = temp / (std::string("m/") + name);
    Put(env, temp / "m/tokenizer/secret.json", "{\"password\": 1}");
    Link(target, temp / (std::string("x/") + name));
    const absl::Status status = ModelFolder::Open(env, temp / "x", {}, Toys()).status();
    REQUIRE(absl::IsPermissionDenied(status));
    REQUIRE(absl::StrContains(status.message(), "link out of the model folder"));
  }
}

TEST_CASE("links within the folder, and those of a Hugging Face cache, are followed and copied") {
  const TempFolder temp;
  Env& env = PosixEnv();
  ExportOptions diffusers;
  REQUIRE_OK(ExportFolder(env, Saved(env, temp / "c"), temp / "m", diffusers));
  const auto tree = ReadTree(env, temp / "m");
  int blob = 0;
  for (const auto& [path, bytes] : tree) {
    const std::string name = absl::StrCat("blobs/", ++blob);
    Put(env, temp / ("cache/" + name), bytes);
    const std::string up = path.find('/') == std::string::npos ? "../../" : "../../../";
    const std::string link = temp / ("cache/snapshots/rev/" + path);
    REQUIRE_OK(env.CreateFolders(Dirname(link)));
    Link(up + name, link);
  }
  Link("snapshots/rev", temp / "cache/main");
  for (const char* dir : {"cache/snapshots/rev", "cache/main", "cache/snapshots/rev/"}) {
    INFO(dir);
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, temp / dir, {}, Toys()));
    REQUIRE_OK(env.RemoveAll(temp / "copy"));
    REQUIRE_OK(ExportFolder(env, folder, temp / "copy", diffusers));
    REQUIRE(ReadTree(env, temp / "copy") == tree);
    REQUIRE(*env.KindOf(temp / "copy/tokenizer/spiece.model") == PathKind::kFile);
  }
  // A component's folder alone, and one that is another name of a folder inside.
  REQUIRE_OK(ModelFolder::Open(env, temp / "cache/snapshots/rev/transformer", {}, Toys()));
  Link("transformer", temp / "m/transformer_2");
  REQUIRE_OK(ModelFolder::Open(env, temp / "m", {}, Toys()));
  // Beside blobs/ there is nothing to be read.
  Put(env, temp / "cache/secret", "pieces");
  Link("../../../secret", temp / "cache/snapshots/rev/tokenizer/spiece.model");
  REQUIRE(absl::IsPermissionDenied(
      ModelFolder::Open(env, temp / "cache/snapshots/rev", {}, Toys()).status()));
}

}  // namespace
}  // namespace wanlite
