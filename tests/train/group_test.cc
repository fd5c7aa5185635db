// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Process groups: threads stand for processes where nothing but the sums matters, and this program
// starts itself where it does.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/checkpoint.h"
#include "wanlite/process_group.h"
#include "wanlite/train.h"

extern char** environ;

namespace wanlite {
namespace {

using testing::TempFolder;

// work(group) on a thread for each rank; their results.
std::vector<absl::Status> OnRanks(const std::string& path, int size,
                                  const std::function<absl::Status(ProcessGroup&)>& work) {
  std::vector<absl::Status> results(size, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      auto group = JoinLocalGroup(path, rank, size, /*patience_s=*/60);
      results[rank] = group.ok() ? work(**group) : group.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST_CASE("Sums over a group are made in the order of ranks, the same bits for all") {
  const TempFolder temp;
  // Longer than a slot, and of numbers whose sum depends on its order.
  const int64_t count = 100'000;
  std::vector<at::Tensor> parts;
  for (int rank = 0; rank < 3; ++rank) {
    parts.push_back(at::randn({count}, at::detail::createCPUGenerator(rank)) *
                    std::pow(10.0, 3 * rank));
  }
  const at::Tensor wanted = (parts[0] + parts[1]) + parts[2];
  REQUIRE_FALSE(at::equal(wanted, parts[0] + (parts[1] + parts[2])));
  for (const absl::Status& status :
       OnRanks(temp / "group", 3, [&](ProcessGroup& group) -> absl::Status {
         const at::Tensor sum = parts[group.rank()].clone();
         if (const absl::Status s = group.AllReduce(sum); !s.ok()) return s;
         if (!at::equal(sum, wanted)) return absl::DataLossError("another sum");
         const at::Tensor whole = at::full({5}, group.rank(), at::kLong);
         if (const absl::Status s = group.AllReduce(whole); !s.ok()) return s;
         if (whole[4].item<int64_t>() != 3) return absl::DataLossError("another count");
         const at::Tensor said = at::full({3}, group.rank(), at::kByte);
         if (const absl::Status s = group.Broadcast(said, 2); !s.ok()) return s;
         if (said[0].item<int64_t>() != 2) return absl::DataLossError("another word");
         return group.Barrier();
       })) {
    REQUIRE_OK(status);
  }
  CHECK_FALSE(PosixEnv().FileExists(temp / "group"));
}

TEST_CASE("Members that ask for different things are told so") {
  const TempFolder temp;
  for (const absl::Status& status : OnRanks(temp / "a", 2, [&](ProcessGroup& group) {
         return group.AllReduce(at::zeros({3 + group.rank()}));
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  }
  for (const absl::Status& status : OnRanks(temp / "b", 2, [&](ProcessGroup& group) {
         return group.rank() == 0 ? group.AllReduce(at::zeros({3}))
                                  : group.Broadcast(at::zeros({3}), 0);
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(JoinLocalGroup(temp / "c", 2, 2).status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE_OK(PosixEnv().WriteFileAtomically(temp / "d", "mine"));
  CHECK(absl::IsAlreadyExists(JoinLocalGroup(temp / "d", 0, 2).status()));
  CHECK(*PosixEnv().ReadFile(temp / "d") == "mine");
  CHECK(JoinLocalGroup(temp / "d", 1, 2).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::IsUnavailable(JoinLocalGroup(temp / "e", 1, 2, /*patience_s=*/0.05).status()));
}

TEST_CASE("A member that left is noticed") {
  const TempFolder temp;
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<absl::Status> results =
      OnRanks(temp / "group", 3, [&](ProcessGroup& group) -> absl::Status {
        if (const absl::Status s = group.Barrier(); !s.ok()) return s;
        return group.rank() == 1 ? absl::CancelledError("gone") : group.Barrier();
      });
  CHECK(absl::IsUnavailable(results[0]));
  CHECK(absl::IsUnavailable(results[2]));
  CHECK(std::string(results[0].message()).find("process 1 of 3") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

// y = x W with parts of the batch that add up to it.
class Fit : public train::Objective {
 public:
  std::vector<train::TrainedTensor> Parameters() override { return {{"w", w}}; }
  Terms Loss(int64_t step, int part, int parts) override {
    if (step == kill_at) raise(SIGKILL);
    if (part == fail_in_part && step == 3) TORCH_CHECK(false, "went wrong");
    const at::Tensor x =
        at::randn({6, 4}, at::detail::createCPUGenerator(step)).slice(0, part, 6, parts);
    const at::Tensor loss = at::mse_loss(x.matmul(w), x.sum(1, true));
    return {loss, {{"loss", loss.item<double>()}}};
  }
  at::Tensor w = at::zeros({4, 1});
  int64_t kill_at = -1;
  int fail_in_part = -1;
};

train::LoopOptions FitOptions() {
  train::LoopOptions options;
  options.steps = 12;
  options.batch = 6;
  options.learning_rate = 0.05;
  options.ema_decay = 0.9;
  options.state_every = 4;
  return options;
}

absl::Status FitOn(ProcessGroup* group, Env& env, const std::string& dir, Fit& fit,
                   int accumulate) {
  train::LoopOptions options = FitOptions();
  options.accumulate = accumulate;
  train::TrainRun run;
  run.env = &env;
  run.what = "fit";
  run.state_dir = dir;
  run.group = group;
  return train::Train(options, fit, run).status();
}

TEST_CASE("One, two and three processes train to the same bits, each with one piece of the batch") {
  const TempFolder temp;
  for (const int ranks : {2, 3}) {
    Fit alone;
    const auto env = NewMemEnv();
    REQUIRE_OK(FitOn(nullptr, *env, "state", alone, ranks));
    std::vector<Fit> fits(ranks);
    const auto shared = NewMemEnv();
    for (const absl::Status& status :
         OnRanks(temp / absl::StrCat("g", ranks), ranks, [&](ProcessGroup& group) {
           return FitOn(&group, *shared, "state", fits[group.rank()], ranks);
         })) {
      REQUIRE_OK(status);
    }
    for (const Fit& fit : fits) CHECK(at::equal(fit.w, alone.w));
    CHECK(*env->ReadFile("state/state.json") == *shared->ReadFile("state/state.json"));
  }
  // With several pieces each, the sums of ranks are rounded before they meet.
  Fit alone;
  const auto env = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, 6));
  for (const int ranks : {2, 3}) {
    std::vector<Fit> fits(ranks);
    const auto shared = NewMemEnv();
    for (const absl::Status& status :
         OnRanks(temp / absl::StrCat("h", ranks), ranks, [&](ProcessGroup& group) {
           return FitOn(&group, *shared, "state", fits[group.rank()], 6);
         })) {
      REQUIRE_OK(status);
    }
    constexpr double kRelative = 1e-4, kAbsolute = 1e-5;
    CHECK(at::allclose(fits[0].w, alone.w, kRelative, kAbsolute));
    CHECK(at::equal(fits[0].w, fits[1].w));
  }
}

TEST_CASE("An error of one process ends the training of all") {
  const TempFolder temp;
  std::vector<Fit> fits(2);
  fits[1].fail_in_part = 1;
  const auto env = NewMemEnv();
  const std::vector<absl::Status> results = OnRanks(temp / "group", 2, [&](ProcessGroup& group) {
    return FitOn(&group, *env, "state", fits[group.rank()], 2);
  });
  CHECK(std::string(results[1].message()).find("went wrong") != std::string::npos);
  CHECK(absl::IsAborted(results[0]));
  // The pieces of a batch must be shared evenly.
  for (const absl::Status& status : OnRanks(temp / "other", 2, [&](ProcessGroup& group) {
         return FitOn(&group, *env, "other", fits[group.rank()], 3);
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find("fit.accumulate is 3") != std::string::npos);
  }
}

constexpr char kRankVariable[] = "WANLITE_TEST_RANK";
constexpr char kFolderVariable[] = "WANLITE_TEST_FOLDER";
constexpr char kAttemptVariable[] = "WANLITE_TEST_ATTEMPT";

// Run by the case below, in processes of their own.
TEST_CASE("a member of a group of processes", "[.member]") {
  const char* rank = std::getenv(kRankVariable);
  const char* folder = std::getenv(kFolderVariable);
  const char* attempt = std::getenv(kAttemptVariable);
  REQUIRE((rank != nullptr && folder != nullptr && attempt != nullptr));
  const std::string dir = folder;
  ASSERT_OK_AND_ASSIGN(const auto group,
                       JoinLocalGroup(JoinPath(dir, absl::StrCat("group", attempt)),
                                      std::atoi(rank), 2, /*patience_s=*/60));
  Fit fit;
  if (std::string(attempt) == "1" && group->rank() == 1) fit.kill_at = 9;
  const absl::Status status = FitOn(group.get(), PosixEnv(), JoinPath(dir, "state"), fit, 2);
  if (std::string(attempt) == "1") {
    CHECK(absl::IsUnavailable(status));
    return;
  }
  REQUIRE_OK(status);
  REQUIRE_OK(WriteSafetensors(PosixEnv(), JoinPath(dir, absl::StrCat("rank", rank)),
                              {{"w", fit.w.detach()}}));
}

int RunMember(const std::string& dir, int attempt, int rank, pid_t& child) {
  std::vector<std::string> variables = {absl::StrCat(kRankVariable, "=", rank),
                                        absl::StrCat(kFolderVariable, "=", dir),
                                        absl::StrCat(kAttemptVariable, "=", attempt)};
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::string tag = "[.member]";
  char* arguments[] = {program.data(), tag.data(), nullptr};
  return posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environment.data());
}

TEST_CASE("Processes train together; when one is killed the others end, and all continue") {
  const TempFolder temp;
  const std::string dir = temp / "run";
  REQUIRE_OK(PosixEnv().CreateFolders(dir));
  for (const int attempt : {1, 2}) {
    pid_t children[2];
    for (int rank = 0; rank < 2; ++rank) {
      REQUIRE(RunMember(dir, attempt, rank, children[rank]) == 0);
    }
    int ends[2] = {};
    for (int rank = 0; rank < 2; ++rank) waitpid(children[rank], &ends[rank], 0);
    INFO("attempt " << attempt);
    CHECK((WIFEXITED(ends[0]) && WEXITSTATUS(ends[0]) == 0));
    if (attempt == 1) {
      CHECK((WIFSIGNALED(ends[1]) && WTERMSIG(ends[1]) == SIGKILL));
    } else {
      CHECK((WIFEXITED(ends[1]) && WEXITSTATUS(ends[1]) == 0));
    }
  }
  Fit alone;
  const auto env = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, 2));
  for (const char* name : {"rank0", "rank1"}) {
    ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(PosixEnv(), JoinPath(dir, name)));
    CHECK(at::equal(*source->Read("w"), alone.w.detach()));
  }
}

}  // namespace
}  // namespace wanlite
