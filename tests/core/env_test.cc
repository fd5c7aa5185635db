// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/env.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "src/core/posix_file.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using Names = std::vector<std::string>;

// The same disk rules must hold in memory and on the machine, or tests in memory prove nothing.
struct Disk {
  std::string kind;
  std::unique_ptr<Env> owned;
  Env* env = nullptr;
  std::string root;

  static Disk Make(const std::string& kind) {
    Disk disk;
    disk.kind = kind;
    if (kind == "memory") {
      disk.owned = NewMemEnv();
      disk.env = disk.owned.get();
      disk.root = "/disk";
    } else {
      disk.env = &PosixEnv();
      disk.root = (std::filesystem::temp_directory_path() /
                   ("wanlite_env_test." + std::to_string(::getpid())))
                      .string();
      REQUIRE_OK(disk.env->RemoveAll(disk.root));
    }
    REQUIRE_OK(disk.env->CreateFolders(disk.root));
    return disk;
  }
  Disk() = default;
  Disk(Disk&& other) = default;
  ~Disk() {
    if (kind == "posix") env->RemoveAll(root).IgnoreError();
  }
  std::string At(const std::string& name) const { return JoinPath(root, name); }
};

absl::Status Put(Env& env, const std::string& path, const std::string& text) {
  auto file = env.NewWritableFile(path);
  if (!file.ok()) return file.status();
  absl::Status status = (*file)->Append(text);
  status.Update((*file)->Sync());
  status.Update((*file)->Close());
  return status;
}

// Such files go to the disk in pieces, past the cache where that is possible.
TEST_CASE("large files hold what was appended, whatever its pieces") {
  const Disk disk = Disk::Make(GENERATE(as<std::string>(), "memory", "posix"));
  Env& env = *disk.env;
  INFO(disk.kind);
  constexpr size_t kPiece = size_t{4} << 20;
  std::string text(2 * kPiece + 4099, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
  for (const size_t size : {kPiece - 1, kPiece, kPiece + 1, 2 * kPiece, text.size()}) {
    for (const size_t append : {size_t{77777}, kPiece, size}) {
      INFO(size << " in appends of " << append);
      ASSERT_OK_AND_ASSIGN(const auto file, env.NewWritableFile(disk.At("f")));
      for (size_t at = 0; at < size; at += append) {
        REQUIRE_OK(file->Append(absl::string_view(text).substr(at, std::min(append, size - at))));
        // What is synced is there, and more may follow it.
        if (append == 77777 && at / append == 60) {
          REQUIRE_OK(file->Sync());
          CHECK(*env.ReadFile(disk.At("f")) == text.substr(0, std::min(at + append, size)));
        }
      }
      REQUIRE_OK(file->Close());
      REQUIRE_OK(file->Close());
      CHECK(*env.ReadFile(disk.At("f")) == text.substr(0, size));
      REQUIRE_OK(env.RemoveFile(disk.At("f")));
    }
  }
}

TEST_CASE("a disk that is full says so, again at each later call") {
  const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  const auto file = NewPosixWritableFile("/dev/full", Fd(fd));
  REQUIRE_OK(file->Append("a few bytes wait for more"));
  absl::Status status = file->Append(std::string(size_t{16} << 20, 'x'));
  CHECK(status.code() == StatusCode::kResourceExhausted);
  CHECK(file->Append("more") == status);
  CHECK(file->Sync() == status);
  CHECK(file->Close() == status);
}

TEST_CASE("a disk in memory and the machine's keep the same rules") {
  const Disk disk = Disk::Make(GENERATE(as<std::string>(), "memory", "posix"));
  Env& env = *disk.env;
  INFO(disk.kind);

  SECTION("files") {
    REQUIRE_OK(Put(env, disk.At("a"), "hello"));
    ASSERT_OK_AND_ASSIGN(const std::string text, env.ReadFile(disk.At("a")));
    CHECK(text == "hello");
    ASSERT_OK_AND_ASSIGN(const uint64_t size, env.FileSize(disk.At("a")));
    CHECK(size == 5);
    CHECK(env.FileExists(disk.At("a")));
    CHECK_FALSE(env.FolderExists(disk.At("a")));
    CHECK(env.ReadFile(disk.At("a"), 4).status().code() == StatusCode::kInvalidArgument);
    CHECK(env.NewWritableFile(disk.At("a")).status().code() == StatusCode::kAlreadyExists);
    REQUIRE_OK(env.WriteFileAtomically(disk.At("a"), ""));
    CHECK(*env.ReadFile(disk.At("a")) == "");
    REQUIRE_OK(env.RemoveFile(disk.At("a")));
    CHECK_FALSE(env.FileExists(disk.At("a")));
  }
  SECTION("a link is a second name of one file") {
    REQUIRE_OK(Put(env, disk.At("a"), "hello"));
    REQUIRE_OK(env.Link(disk.At("a"), disk.At("b")));
    CHECK(*env.Stamp(disk.At("a")) == *env.Stamp(disk.At("b")));
    CHECK(env.Link(disk.At("a"), disk.At("b")).code() == StatusCode::kAlreadyExists);
    CHECK(env.Link(disk.At("none"), disk.At("c")).code() == StatusCode::kNotFound);
    CHECK(env.Link(disk.At("a"), disk.At("none/c")).code() == StatusCode::kNotFound);
    // Replacing one name leaves the other, and so does removing it.
    REQUIRE_OK(env.WriteFileAtomically(disk.At("a"), "other"));
    CHECK(*env.ReadFile(disk.At("b")) == "hello");
    REQUIRE_OK(env.Link(disk.At("b"), disk.At("c")));
    REQUIRE_OK(env.RemoveFile(disk.At("b")));
    CHECK(*env.ReadFile(disk.At("c")) == "hello");
    CHECK(*NewFaultEnv(env, -1)->ListFolder(disk.root) == Names{"a", "c"});
    CHECK(NewFaultEnv(env, 0)->Link(disk.At("c"), disk.At("d")).code() ==
          StatusCode::kResourceExhausted);
  }
  SECTION("what is not there is NotFound") {
    CHECK(env.ReadFile(disk.At("no")).status().code() == StatusCode::kNotFound);
    CHECK(env.Map(disk.At("no")).status().code() == StatusCode::kNotFound);
    CHECK(env.FileSize(disk.At("no")).status().code() == StatusCode::kNotFound);
    CHECK(env.ListFolder(disk.At("no")).status().code() == StatusCode::kNotFound);
    CHECK(env.NewWritableFile(disk.At("no/a")).status().code() == StatusCode::kNotFound);
    CHECK(env.RemoveFile(disk.At("no")).code() == StatusCode::kNotFound);
    CHECK(env.Rename(disk.At("no"), disk.At("b")).code() == StatusCode::kNotFound);
    CHECK(env.SyncFolder(disk.At("no")).code() == StatusCode::kNotFound);
    CHECK(env.Lock(disk.At("no/lock")).status().code() == StatusCode::kNotFound);
    REQUIRE_OK(env.RemoveAll(disk.At("no")));
  }
  SECTION("folders are not files") {
    REQUIRE_OK(env.CreateFolders(disk.At("d")));
    CHECK(env.Map(disk.At("d")).status().code() == StatusCode::kInvalidArgument);
    CHECK(env.FileSize(disk.At("d")).status().code() == StatusCode::kInvalidArgument);
    CHECK(env.NewWritableFile(disk.At("d")).status().code() == StatusCode::kAlreadyExists);
    CHECK(env.WriteFileAtomically(disk.At("d"), "").code() == StatusCode::kInvalidArgument);
    CHECK(env.CreateFolder(disk.At("d")).code() == StatusCode::kAlreadyExists);
    CHECK(env.CreateFolder(disk.At("no/e")).code() == StatusCode::kNotFound);
    REQUIRE_OK(Put(env, disk.At("d/f"), "1"));
    CHECK(env.RemoveFolder(disk.At("d")).code() == StatusCode::kAlreadyExists);
    REQUIRE_OK(env.RemoveFile(disk.At("d/f")));
    REQUIRE_OK(env.RemoveFolder(disk.At("d")));
    CHECK(env.RemoveFolder(disk.At("d")).code() == StatusCode::kNotFound);
  }
  SECTION("a name tells what it stands for, a stamp whether it is still the same") {
    CHECK(*env.KindOf(disk.At("a")) == PathKind::kNothing);
    CHECK(*env.KindOf(disk.root) == PathKind::kFolder);
    CHECK(env.KindOf(disk.At(std::string(256, 'x'))).status().code() ==
          StatusCode::kInvalidArgument);
    REQUIRE_OK(Put(env, disk.At("a"), "one"));
    CHECK(*env.KindOf(disk.At("a")) == PathKind::kFile);
    ASSERT_OK_AND_ASSIGN(const FileStamp stamp, env.Stamp(disk.At("a")));
    CHECK(stamp.bytes == 3);
    CHECK(*env.Stamp(disk.At("a")) == stamp);
    REQUIRE_OK(env.Rename(disk.At("a"), disk.At("b")));
    CHECK(*env.Stamp(disk.At("b")) == stamp);
    REQUIRE_OK(env.WriteFileAtomically(disk.At("b"), "two"));
    CHECK_FALSE(*env.Stamp(disk.At("b")) == stamp);
    CHECK(env.Stamp(disk.At("a")).status().code() == StatusCode::kNotFound);
  }
  SECTION("folders are made with their parents, listed sorted, removed whole") {
    REQUIRE_OK(env.CreateFolders(disk.At("x/y/z")));
    REQUIRE_OK(env.CreateFolders(disk.At("x/y/z")));
    REQUIRE_OK(Put(env, disk.At("x/b"), "1"));
    REQUIRE_OK(Put(env, disk.At("x/a"), "2"));
    CHECK(*env.ListFolder(disk.At("x")) == Names{"a", "b", "y"});
    CHECK(env.FolderExists(disk.At("x/y/z/")));
    REQUIRE_OK(env.SyncFolder(disk.At("x")));
    CHECK_FALSE(env.CreateFolders(disk.At("x/a/b")).ok());
    REQUIRE_OK(env.RemoveAll(disk.At("x")));
    CHECK(env.ListFolder(disk.root)->empty());
  }
  SECTION("a rename replaces a file but never a folder") {
    REQUIRE_OK(Put(env, disk.At("a"), "new"));
    REQUIRE_OK(Put(env, disk.At("b"), "old"));
    REQUIRE_OK(env.Rename(disk.At("a"), disk.At("b")));
    CHECK(*env.ReadFile(disk.At("b")) == "new");
    CHECK(*env.ListFolder(disk.root) == Names{"b"});

    REQUIRE_OK(env.CreateFolders(disk.At("d/e")));
    REQUIRE_OK(Put(env, disk.At("d/e/f"), "deep"));
    REQUIRE_OK(env.CreateFolders(disk.At("empty")));
    CHECK(env.Rename(disk.At("d"), disk.At("empty")).code() == StatusCode::kAlreadyExists);
    CHECK(env.Rename(disk.At("d"), disk.At("b")).code() == StatusCode::kAlreadyExists);
    REQUIRE_OK(env.Rename(disk.At("d"), disk.At("moved")));
    CHECK(*env.ReadFile(disk.At("moved/e/f")) == "deep");
    CHECK_FALSE(env.FolderExists(disk.At("d")));
  }
  SECTION("writing to a mapping changes a private copy; releasing whole pages forgets it") {
    const std::string text(3 * 4096 + 100, 'o');
    REQUIRE_OK(Put(env, disk.At("m"), text));
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const FileMapping> map, env.Map(disk.At("m")));
    REQUIRE(map->data().size() == text.size());
    map->data()[10] = 'x';
    map->data()[5000] = 'x';
    map->data()[text.size() - 1] = 'x';
    CHECK(*env.ReadFile(disk.At("m")) == text);
    map->Release(100, 1 << 20);  // from inside the first page to beyond the end
    CHECK(map->data()[10] == 'x');
    CHECK(map->data()[5000] == 'o');
    CHECK(map->data()[text.size() - 1] == 'o');
    map->Release(1 << 20, 5);
    // The mapping outlives the file's name.
    REQUIRE_OK(env.RemoveFile(disk.At("m")));
    CHECK(map->data()[9000] == 'o');
  }
  SECTION("a part that is mapped again shares no changes with the first mapping") {
    std::string text(2 * 4096 + 100, 'o');
    text[4999] = 'a';
    text[5000] = 'b';
    REQUIRE_OK(Put(env, disk.At("m"), text));
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const FileMapping> map, env.Map(disk.At("m")));
    map->data()[5000] = 'x';
    // The file that was mapped, whatever its name stands for now.
    REQUIRE_OK(env.RemoveFile(disk.At("m")));
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const FileMapping> part, map->MapAgain(4999, 3000));
    REQUIRE(part->data().size() == 3000);
    CHECK(part->data()[0] == 'a');
    CHECK(part->data()[1] == 'b');
    part->data()[0] = 'y';
    CHECK(map->data()[4999] == 'a');
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const FileMapping> other, part->MapAgain(1, 5));
    CHECK(other->data()[0] == 'b');
    CHECK(map->MapAgain(text.size(), 0).ok());
    CHECK(map->MapAgain(4999, text.size()).status().code() == StatusCode::kOutOfRange);
    CHECK(map->MapAgain(text.size() + 1, 0).status().code() == StatusCode::kOutOfRange);
    CHECK(map->MapAgain(10, ~uint64_t{0}).status().code() == StatusCode::kOutOfRange);
  }
  SECTION("a lock has one owner at a time") {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileLock> lock, env.Lock(disk.At("lock")));
    CHECK(env.Lock(disk.At("lock")).status().code() == StatusCode::kUnavailable);
    lock.reset();
    ASSERT_OK_AND_ASSIGN(lock, env.Lock(disk.At("lock")));
    // Once its file is gone, the lock bars nobody.
    REQUIRE_OK(env.RemoveFile(disk.At("lock")));
    CHECK(env.Lock(disk.At("lock")).ok());
  }
  SECTION("an atomic write replaces the contents and leaves nothing else") {
    REQUIRE_OK(env.WriteFileAtomically(disk.At("a"), "one"));
    REQUIRE_OK(env.WriteFileAtomically(disk.At("a"), "two"));
    CHECK(*env.ReadFile(disk.At("a")) == "two");
    CHECK(*env.ListFolder(disk.root) == Names{"a"});
  }
}

TEST_CASE("an atomic write that fails at any step leaves the old or the new contents") {
  int64_t fail_at = 0;
  for (;; ++fail_at) {
    const std::unique_ptr<Env> disk = NewMemEnv();
    REQUIRE_OK(disk->CreateFolders("/d"));
    REQUIRE_OK(disk->WriteFileAtomically("/d/f", "old"));
    const std::unique_ptr<FaultEnv> fault = NewFaultEnv(*disk, fail_at);
    const absl::Status status = fault->WriteFileAtomically("/d/f", "new contents");
    const std::string text = *disk->ReadFile("/d/f");
    INFO("fault at " << fail_at);
    if (status.ok()) {
      CHECK(text == "new contents");
      break;
    }
    CHECK(status.code() == StatusCode::kResourceExhausted);
    CHECK((text == "old" || text == "new contents"));
    // And the next try succeeds.
    REQUIRE_OK(disk->WriteFileAtomically("/d/f", "newer"));
    CHECK(*disk->ReadFile("/d/f") == "newer");
    // What the dead process left beside it is let be: it could be a living one's.
    ASSERT_OK_AND_ASSIGN(const Names left, disk->ListFolder("/d"));
    for (const std::string& name : left) {
      CHECK((name == "f" || IsTemporaryName(name, "f")));
    }
  }
  CHECK(fail_at == 5);  // create, append, sync, rename, sync of the folder
}

TEST_CASE("a failing disk counts writes, cuts the first failing append and fails ever after") {
  const std::unique_ptr<Env> disk = NewMemEnv();
  const std::unique_ptr<FaultEnv> fault = NewFaultEnv(*disk, 2);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<WritableFile> file, fault->NewWritableFile("/f"));
  REQUIRE_OK(file->Append("12"));
  CHECK_FALSE(file->Append("3456").ok());
  CHECK_FALSE(file->Append("78").ok());
  CHECK(*disk->ReadFile("/f") == "1234");
  CHECK_FALSE(fault->CreateFolders("/d").ok());
  CHECK_FALSE(fault->RemoveFile("/f").ok());
  CHECK(*fault->ReadFile("/f") == "1234");
  CHECK(fault->writes() == 6);
  CHECK(NewFaultEnv(*disk, -1)->CreateFolders("/d").ok());
}

TEST_CASE("paths are joined, split and judged") {
  CHECK(JoinPath("a", "b") == "a/b");
  CHECK(JoinPath("a/", "b") == "a/b");
  CHECK(JoinPath("", "b") == "b");
  CHECK(Dirname("a/b/c") == "a/b");
  CHECK(Dirname("a/b/") == "a");
  CHECK(Dirname("a") == ".");
  CHECK(Dirname("/a") == "/");
  CHECK(Basename("a/b/") == "b");
  CHECK(Basename("/") == "/");
  CHECK(WithoutTrailingSlashes("/a//") == "/a");
  CHECK(WithoutTrailingSlashes("/") == "/");
  CHECK(IsInside("/a/b", "/a"));
  CHECK(IsInside("/a", "/a"));
  CHECK(IsInside("/a", "/"));
  CHECK_FALSE(IsInside("/ab", "/a"));
  CHECK_FALSE(IsInside("/a", "/a/b"));
  CHECK(IsSafeRelativePath("a/b.safetensors"));
  CHECK(IsSafeRelativePath("a/..b"));
  for (const std::string& bad :
       {std::string(), std::string("/a"), std::string("../a"), std::string("a/../b"),
        std::string("a/.."), std::string("a\\b"), std::string("a\0b", 3)}) {
    INFO(bad);
    CHECK_FALSE(IsSafeRelativePath(bad));
  }
}

}  // namespace
}  // namespace wanlite
