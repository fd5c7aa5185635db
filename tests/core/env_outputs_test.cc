// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// That writing an output never touches what is someone else's, on the real disk where links and
// devices are.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::TempFolder;
using Listing = std::vector<std::string>;

void Store(const std::string& path, const std::string& text) {
  REQUIRE_OK(PosixEnv().WriteFileAtomically(path, text));
}

void Link(const std::string& target, const std::string& link) {
  REQUIRE(::symlink(target.c_str(), link.c_str()) == 0);
}

Listing List(const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const Listing names, PosixEnv().ListFolder(dir));
  return names;
}

TEST_CASE("a new file is never one that was there, nor what a link leads to") {
  const TempFolder temp;
  Env& env = PosixEnv();
  Store(temp / "precious", "1");
  Link(temp / "precious", temp / "link");
  Link(temp / "nothing", temp / "dangling");
  for (const char* name : {"precious", "link", "dangling"}) {
    INFO(name);
    CHECK(env.NewWritableFile(temp / name).status().code() == StatusCode::kAlreadyExists);
    CHECK(env.CheckAbsent(temp / name).code() == StatusCode::kAlreadyExists);
    CHECK(env.CreateFolder(temp / name).code() == StatusCode::kAlreadyExists);
  }
  CHECK(*env.ReadFile(temp / "precious") == "1");
  CHECK_FALSE(env.FileExists(temp / "nothing"));
  CHECK(*env.KindOf(temp / "link") == PathKind::kLink);
  CHECK_FALSE(env.Lock(temp / "link").ok());
}

TEST_CASE("publishing a file touches no other name, whatever is there") {
  const TempFolder temp;
  Env& env = PosixEnv();
  Store(temp / "precious", "1");
  Link(temp / "precious", temp / "x.png.tmp");
  Store(temp / "x.png", "old");
  REQUIRE_OK(env.WriteFileAtomically(temp / "x.png", "new"));
  CHECK(*env.ReadFile(temp / "x.png") == "new");
  CHECK(*env.ReadFile(temp / "precious") == "1");
  CHECK(List(temp / "") == Listing{"precious", "x.png", "x.png.tmp"});
}

TEST_CASE("two writers of one file publish one or the other, whole") {
  const TempFolder temp;
  Env& env = PosixEnv();
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<AtomicFile> a, AtomicFile::Create(env, temp / "out"));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<AtomicFile> b, AtomicFile::Create(env, temp / "out"));
  REQUIRE_OK(a->Append("aa"));
  REQUIRE_OK(b->Append("bb"));
  REQUIRE_OK(a->Append("aa"));
  REQUIRE_OK(a->Publish());
  CHECK(*env.ReadFile(temp / "out") == "aaaa");
  REQUIRE_OK(b->Append("bb"));
  REQUIRE_OK(b->Publish());
  CHECK(*env.ReadFile(temp / "out") == "bbbb");
  a.reset();
  b.reset();
  CHECK(List(temp / "") == Listing{"out"});
}

TEST_CASE("a folder is published whole or not at all, and only where nothing is") {
  const TempFolder temp;
  Env& env = PosixEnv();
  Store(temp / "precious", "1");
  REQUIRE_OK(env.CreateFolders(temp / "out.tmp"));
  Store(temp / "out.tmp/mine", "2");
  const auto fill = [&](const std::string& text) {
    return [&env, text](const std::string& dir) {
      return env.WriteFileAtomically(JoinPath(dir, "f"), text);
    };
  };
  SECTION("an error leaves nothing") {
    const absl::Status status =
        env.WriteFolderAtomically(temp / "out", [&](const std::string& dir) -> absl::Status {
          REQUIRE_OK(fill("half")(dir));
          return absl::DataLossError("no more");
        });
    CHECK(status == absl::DataLossError("no more"));
    CHECK(List(temp / "") == Listing{"out.tmp", "precious"});
  }
  SECTION("of two at once the second fails and the first stays") {
    const absl::Status slow =
        env.WriteFolderAtomically(temp / "out/", [&](const std::string& dir) -> absl::Status {
          REQUIRE_OK(fill("slow")(dir));
          REQUIRE_OK(env.WriteFolderAtomically(temp / "out", fill("quick")));
          return absl::OkStatus();
        });
    CHECK(slow.code() == StatusCode::kAlreadyExists);
    CHECK(*env.ReadFile(temp / "out/f") == "quick");
    CHECK(List(temp / "out") == Listing{"f"});
    CHECK(List(temp / "") == Listing{"out", "out.tmp", "precious"});
  }
  SECTION("what is there is seen before the work") {
    Link(temp / "elsewhere", temp / "out");
    const absl::Status status =
        env.WriteFolderAtomically(temp / "out", [&](const std::string&) -> absl::Status {
          FAIL("the work began");
          return absl::OkStatus();
        });
    CHECK(status.code() == StatusCode::kAlreadyExists);
  }
  CHECK(*env.ReadFile(temp / "out.tmp/mine") == "2");
  CHECK(*env.ReadFile(temp / "precious") == "1");
}

TEST_CASE("an output that cannot be is refused at the start, with nothing left behind") {
  const TempFolder temp;
  Env& env = PosixEnv();
  REQUIRE_OK(env.CreateFolders(temp / "d"));
  const std::string pipe = temp / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const std::string long_name(256, 'x');
  for (const std::string& name : {std::string("d"), std::string("d/."), std::string("d/.."),
                                  std::string("new/"), std::string("pipe"), long_name}) {
    INFO(name);
    CHECK(env.CheckOutputFile(temp / name).code() == StatusCode::kInvalidArgument);
  }
  CHECK(env.CheckOutputFile(temp / "no/a").code() == StatusCode::kNotFound);
  CHECK(env.CheckOutputFile("").code() == StatusCode::kInvalidArgument);
  // Nobody, root neither, makes files there.
  CHECK_FALSE(env.CheckOutputFile("/proc/a.png").ok());
  CHECK_FALSE(env.CheckOutputFolder("/proc/a/b").ok());
  for (const std::string& name : {std::string("d/."), std::string("d/.."), long_name}) {
    INFO(name);
    CHECK(env.CheckOutputFolder(temp / name).code() == StatusCode::kInvalidArgument);
  }
  CHECK(env.CheckOutputFolder(temp / "d/").code() == StatusCode::kAlreadyExists);
  REQUIRE_OK(env.CheckOutputFile(temp / std::string(255, 'y')));
  REQUIRE_OK(env.CheckOutputFolder(temp / std::string(255, 'y')));
  CHECK(List(temp / "") == Listing{"d", "pipe"});
  // And a pipe or device is not replaced by a file.
  Store(temp / "file", "1");
  CHECK_FALSE(env.Rename(temp / "file", temp / "pipe").ok());
  CHECK(*env.KindOf(temp / "pipe") == PathKind::kOther);
}

TEST_CASE("the longest name that a file can have is published too") {
  const TempFolder temp;
  const std::string name(255, 'z');
  Store(temp / name, "1");
  CHECK(List(temp / "") == Listing{name});
}

TEST_CASE("a process that must end at once removes what it has in the making, and only that") {
  const TempFolder temp;
  Env& env = PosixEnv();
  Store(temp / "done", "1");
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<AtomicFile> file,
                       AtomicFile::Create(env, temp / "half"));
  REQUIRE_OK(file->Append("1"));
  env.WriteFolderAtomically(temp / "folder",
                            [&](const std::string& dir) {
                              REQUIRE_OK(env.WriteFileAtomically(JoinPath(dir, "f"), "1"));
                              CHECK(List(temp / "").size() == 3);
                              RemoveTemporaries();
                              CHECK(List(temp / "") == Listing{"done"});
                              return absl::CancelledError("");
                            })
      .IgnoreError();
}

TEST_CASE("temporary names are told from others") {
  const std::string name = Basename(TemporaryPath("a/b.json"));
  CHECK(Dirname(TemporaryPath("a/b.json")) == "a");
  CHECK(IsTemporaryName(name));
  CHECK(IsTemporaryName(name, "b.json"));
  CHECK_FALSE(IsTemporaryName(name, "b"));
  CHECK(TemporaryPath("x") != TemporaryPath("x"));
  for (const char* other : {"b.tmp", "b.json.tmp", ".tmp", "b.0123456789ABCDEF.tmp",
                            "b.0123456789abcde.tmp", "0123456789abcdef.tmp"}) {
    INFO(other);
    CHECK_FALSE(IsTemporaryName(other));
  }
}

TEST_CASE("folders on two file systems are told apart before a rename between them fails") {
  const TempFolder temp;
  Env& env = PosixEnv();
  REQUIRE_OK(env.CreateFolders(temp / "d"));
  CHECK(*env.OnOneFileSystem(temp / "", temp / "d"));
  CHECK_FALSE(*env.OnOneFileSystem("/proc", temp / ""));
}

TEST_CASE("paths are resolved through links and dots, as far as they exist") {
  const TempFolder temp;
  Env& env = PosixEnv();
  REQUIRE_OK(env.CreateFolders(temp / "real"));
  Link(temp / "real", temp / "link");
  ASSERT_OK_AND_ASSIGN(const std::string real, env.ResolvePath(temp / "real"));
  CHECK(*env.ResolvePath(temp / "link") == real);
  CHECK(*env.ResolvePath(temp / "link/./new/../small/") == real + "/small");
  const std::string here = std::filesystem::current_path().string();
  CHECK(*env.ResolvePath("not/there") == here + "/not/there");
}

}  // namespace
}  // namespace wanlite
