// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Process groups: threads stand for processes where nothing but the sums matters, and this program
// starts itself where it does.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/train/tensor_exchange.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/checkpoint.h"
#include "wanlite/process_group.h"
#include "wanlite/train.h"

extern char** environ;

namespace wanlite {
namespace {

using testing::TempFolder;

constexpr double kPatience = 60;

// By memory that is shared through a file, and by connections.
enum class Kind { kLocal, kConnected };

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinAt(Kind kind, const std::string& path, int port,
                                                     int rank, int size) {
  if (kind == Kind::kLocal) return JoinLocalGroup(path, rank, size, kPatience);
  RankAddress address;
  address.port = port;
  address.rank = rank;
  address.size = size;
  return JoinGroup(address, kPatience);
}

// work(group) on a thread for each rank; their results.
std::vector<absl::Status> OnRanks(Kind kind, const std::string& path, int size,
                                  const std::function<absl::Status(ProcessGroup&)>& work) {
  std::vector<absl::Status> results(size, absl::UnknownError("not run"));
  const absl::StatusOr<int> port = FreePort();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      auto group = JoinAt(kind, path, port.value_or(0), rank, size);
      results[rank] = group.ok() ? work(**group) : group.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST_CASE("Sums over a group are made in the order of ranks, the same bits for all") {
  const TempFolder temp;
  const Kind kind = GENERATE(Kind::kLocal, Kind::kConnected);
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
       OnRanks(kind, temp / "group", 3, [&](ProcessGroup& group) -> absl::Status {
         const at::Tensor sum = parts[group.rank()].clone();
         if (const absl::Status s = group.AllReduce(sum); !s.ok()) return s;
         if (!at::equal(sum, wanted)) return absl::DataLossError("another sum");
         const at::Tensor at_one = parts[group.rank()].clone();
         if (const absl::Status s = group.Reduce(at_one, 1); !s.ok()) return s;
         if (!at::equal(at_one, group.rank() == 1 ? wanted : parts[group.rank()])) {
           return absl::DataLossError("another sum at rank 1");
         }
         const at::Tensor whole = at::full({5}, group.rank(), at::kLong);
         if (const absl::Status s = group.AllReduce(whole); !s.ok()) return s;
         if (whole[4].item<int64_t>() != 3) return absl::DataLossError("another count");
         const at::Tensor said = at::full({3}, group.rank(), at::kByte);
         if (const absl::Status s = group.Broadcast(said, 2); !s.ok()) return s;
         if (said[0].item<int64_t>() != 2) return absl::DataLossError("another word");
         const at::Tensor nothing = at::zeros({0});
         if (const absl::Status s = group.AllReduce(nothing); !s.ok()) return s;
         return group.Barrier();
       })) {
    REQUIRE_OK(status);
  }
  CHECK_FALSE(PosixEnv().FileExists(temp / "group"));
}

TEST_CASE("Members that ask for different things are told so") {
  const TempFolder temp;
  const Kind kind = GENERATE(Kind::kLocal, Kind::kConnected);
  for (const absl::Status& status : OnRanks(kind, temp / "a", 2, [&](ProcessGroup& group) {
         return group.AllReduce(at::zeros({3 + group.rank()}));
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  }
  for (const absl::Status& status : OnRanks(kind, temp / "b", 2, [&](ProcessGroup& group) {
         return group.rank() == 0 ? group.AllReduce(at::zeros({3}))
                                  : group.Broadcast(at::zeros({3}), 0);
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  }
  for (const absl::Status& status : OnRanks(kind, temp / "sums", 2, [&](ProcessGroup& group) {
         return group.AllReduce(at::zeros({3}, at::kHalf));
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("A place in a group that cannot be is refused") {
  const TempFolder temp;
  CHECK(JoinLocalGroup(temp / "c", 2, 2).status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE_OK(PosixEnv().WriteFileAtomically(temp / "d", "mine"));
  CHECK(absl::IsAlreadyExists(JoinLocalGroup(temp / "d", 0, 2).status()));
  CHECK(*PosixEnv().ReadFile(temp / "d") == "mine");
  CHECK(JoinLocalGroup(temp / "d", 1, 2).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::IsUnavailable(JoinLocalGroup(temp / "e", 1, 2, /*patience_s=*/0.05).status()));
  RankAddress address;
  address.rank = 2;
  address.size = 2;
  CHECK(JoinGroup(address).status().code() == absl::StatusCode::kInvalidArgument);
  ASSERT_OK_AND_ASSIGN(address.port, FreePort());
  address.rank = 1;
  const absl::Status unanswered = JoinGroup(address, /*patience_s=*/0.5).status();
  CHECK(absl::IsUnavailable(unanswered));
  CHECK(std::string(unanswered.message()).find("rank 1 of 2 could not join") != std::string::npos);
}

TEST_CASE("What torchrun says of a process is read from the environment") {
  const auto clear = [] {
    for (const char* name : {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
                             "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT"}) {
      unsetenv(name);
    }
  };
  const auto set = [](const char* name, const char* value) { setenv(name, value, 1); };
  const auto refused = [](const std::string& name) {
    const absl::Status status = AddressFromEnvironment().status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find(name) != std::string::npos);
  };
  clear();
  ASSERT_OK_AND_ASSIGN(std::optional<RankAddress> address, AddressFromEnvironment());
  CHECK_FALSE(address.has_value());
  set("WORLD_SIZE", "4");
  refused("RANK");
  set("RANK", "4");
  refused("RANK");
  set("RANK", "3");
  refused("MASTER_PORT");
  set("MASTER_PORT", "29501");
  refused("MASTER_ADDR");
  set("MASTER_ADDR", "node7");
  set("LOCAL_RANK", "1");
  ASSERT_OK_AND_ASSIGN(address, AddressFromEnvironment());
  REQUIRE(address.has_value());
  CHECK((address->rank == 3 && address->size == 4 && address->local_rank == 1));
  CHECK((address->host == "node7" && address->port == 29501 && !address->served));
  set("TORCHELASTIC_USE_AGENT_STORE", "True");
  set("TORCHELASTIC_RESTART_COUNT", "2");
  ASSERT_OK_AND_ASSIGN(address, AddressFromEnvironment());
  CHECK((address->served && address->prefix == "2"));
  set("WORLD_SIZE", "many");
  refused("WORLD_SIZE is 'many'");
  clear();
}

TEST_CASE("A member that left is noticed") {
  const TempFolder temp;
  const auto begin = std::chrono::steady_clock::now();
  const Kind kind = GENERATE(Kind::kLocal, Kind::kConnected);
  const std::vector<absl::Status> results =
      OnRanks(kind, temp / "group", 3, [&](ProcessGroup& group) -> absl::Status {
        if (const absl::Status s = group.Barrier(); !s.ok()) return s;
        return group.rank() == 1 ? absl::CancelledError("gone") : group.Barrier();
      });
  CHECK(absl::IsUnavailable(results[0]));
  CHECK(absl::IsUnavailable(results[2]));
  CHECK(std::string(results[0].message())
            .find(kind == Kind::kLocal ? "process 1 of 3" : "a process of the group is gone") !=
        std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

// y = x W U + b, by weights of different sizes and updates, with parts of the batch that add up to
// it.
class Fit : public train::Objective {
 public:
  std::vector<train::TrainedTensor> Parameters() override {
    return {{"w", w}, {"u", u, 0.5}, {"b", b, 1, /*decay=*/false}};
  }
  Terms Loss(int64_t step, int part, int parts) override {
    if (step == kill_at) raise(SIGKILL);
    if (part == fail_in_part && step == 3) TORCH_CHECK(false, "went wrong");
    const at::Tensor x =
        at::randn({6, 4}, at::detail::createCPUGenerator(step)).slice(0, part, 6, parts);
    const at::Tensor found = x.matmul(w).matmul(u) + b;
    const at::Tensor loss = at::mse_loss(found, x.sum(1, true).expand_as(found));
    if (step == poisoned_step) {
      return {loss * std::numeric_limits<double>::quiet_NaN(), {{"loss", 0}}};
    }
    if (step == cancel_at) cancel->Cancel();
    return {loss, {{"loss", loss.item<double>()}}};
  }
  std::vector<at::Tensor> weights() const { return {w.detach(), u.detach(), b.detach()}; }
  at::Tensor w = at::randn({4, 5}, at::detail::createCPUGenerator(1));
  at::Tensor u = at::randn({5, 3}, at::detail::createCPUGenerator(2));
  at::Tensor b = at::zeros({3});
  int64_t poisoned_step = -1, cancel_at = -1;
  CancellationToken* cancel = nullptr;
  std::vector<double> losses;
  train::TrainReport report;
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
                   const train::LoopOptions& options) {
  train::TrainRun run;
  run.env = &env;
  run.what = "fit";
  run.state_dir = dir;
  run.max_shard_bytes = 100;  // w has 80 bytes, u 60, b 12
  run.group = group;
  run.cancel = fit.cancel;
  run.observe = [&](const train::StepReport& step) { fit.losses.push_back(step.loss); };
  const auto report = train::Train(options, fit, run);
  if (report.ok()) fit.report = *report;
  return report.status();
}
absl::Status FitOn(ProcessGroup* group, Env& env, const std::string& dir, Fit& fit,
                   int accumulate) {
  train::LoopOptions options = FitOptions();
  options.accumulate = accumulate;
  return FitOn(group, env, dir, fit, options);
}

bool SameWeights(const Fit& a, const Fit& b) {
  for (size_t i = 0; i < a.weights().size(); ++i) {
    if (!at::equal(a.weights()[i], b.weights()[i])) return false;
  }
  return true;
}

// A fit of each rank, trained together; all must end well.
std::vector<Fit> FitTogether(Kind kind, const std::string& path, Env& env, int ranks,
                             const train::LoopOptions& options) {
  std::vector<Fit> fits(ranks);
  for (const absl::Status& status : OnRanks(kind, path, ranks, [&](ProcessGroup& group) {
         return FitOn(&group, env, "state", fits[group.rank()], options);
       })) {
    REQUIRE_OK(status);
  }
  return fits;
}

// Every tensor of a state by name, whoever wrote it.
std::map<std::string, at::Tensor> StateIn(Env& env, const std::string& dir) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, bytes] : testing::FilesOf(env, dir)) {
    if (name == "state.json") continue;
    ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(env, JoinPath(dir, name)));
    for (const TensorInfo& info : source->tensors()) {
      REQUIRE_FALSE(tensors.contains(info.name));
      ASSERT_OK_AND_ASSIGN(const at::Tensor value, source->Read(info.name));
      tensors[info.name] = value.clone();
    }
  }
  return tensors;
}

bool SameState(const std::map<std::string, at::Tensor>& a,
               const std::map<std::string, at::Tensor>& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && at::equal(found->second, entry.second);
         });
}

TEST_CASE("Processes train to the bits of one, in weights, losses, norms and states") {
  const TempFolder temp;
  const Kind kind = GENERATE(Kind::kLocal, Kind::kConnected);
  const bool bf16 = GENERATE(false, true);
  for (const int ranks : {2, 3}) {
    INFO(ranks << " ranks");
    train::LoopOptions options = FitOptions();
    options.accumulate = ranks;
    options.bf16 = bf16;
    options.max_gradient_norm = 0.3;  // below what comes, so that it takes part in each update
    Fit alone;
    const auto env = NewMemEnv(), shared = NewMemEnv();
    REQUIRE_OK(FitOn(nullptr, *env, "state", alone, options));
    const std::vector<Fit> fits =
        FitTogether(kind, temp / absl::StrCat("g", ranks), *shared, ranks, options);
    int64_t sent = 0;
    for (const Fit& fit : fits) {
      CHECK(SameWeights(fit, alone));
      CHECK(fit.losses == alone.losses);
      sent += fit.report.bytes_sent;
    }
    CHECK(alone.report.bytes_sent == 0);
    // Each gradient goes to its owner from all others and each weight from it to them, at each of
    // 12 steps; the averages once, at the end.
    CHECK(sent == (80 + 60 + 12) * (2 * 12 + 1) * (ranks - 1));
    CHECK(SameState(StateIn(*env, "state"), StateIn(*shared, "state")));
  }
}

TEST_CASE("With several pieces each, processes train to the same up to rounding") {
  const TempFolder temp;
  Fit alone;
  const auto env = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, 6));
  for (const int ranks : {2, 3}) {
    const auto shared = NewMemEnv();
    train::LoopOptions options = FitOptions();
    options.accumulate = 6;
    const std::vector<Fit> fits =
        FitTogether(Kind::kLocal, temp / absl::StrCat("h", ranks), *shared, ranks, options);
    constexpr double kRelative = 1e-4, kAbsolute = 1e-5;
    CHECK(at::allclose(fits[0].w, alone.w, kRelative, kAbsolute));
    CHECK(SameWeights(fits[0], fits[1]));
  }
}

TEST_CASE("A state is continued by any number of processes") {
  const TempFolder temp;
  train::LoopOptions options = FitOptions();
  options.accumulate = 6;
  Fit alone;
  const auto env = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, options));
  // 4 steps alone, 4 by three processes, 2 by two, 2 alone; the schedule is that of all 12.
  const auto shared = NewMemEnv();
  options.final_rate_ratio = 1;
  Fit unbroken;
  const auto other = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *other, "state", unbroken, options));
  Fit fit;
  int64_t done = 0;
  for (const auto& [ranks, steps] : {std::pair(1, 4), {3, 8}, {2, 10}, {1, 12}}) {
    options.steps = steps;
    // A run leaves the average in the weights; the next one takes them from the state.
    const std::vector<Fit> fits =
        FitTogether(Kind::kLocal, temp / absl::StrCat("n", steps), *shared, ranks, options);
    for (const Fit& one : fits) {
      CHECK(one.report.first_step == done);
      CHECK(SameWeights(one, fits[0]));
    }
    done = steps;
    fit = fits[0];
  }
  constexpr double kRelative = 1e-4, kAbsolute = 1e-5;
  CHECK(at::allclose(fit.w, unbroken.w, kRelative, kAbsolute));
  CHECK_FALSE(at::allclose(alone.w, unbroken.w, kRelative, kAbsolute));
}

TEST_CASE("Steps that are left out are left out by all processes") {
  const TempFolder temp;
  train::LoopOptions options = FitOptions();
  options.accumulate = 2;
  options.max_skipped_steps = 1;
  options.rate_after_skip = 0.5;
  Fit alone;
  alone.poisoned_step = 5;
  const auto env = NewMemEnv(), shared = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, options));
  std::vector<Fit> fits(2);
  fits[1].poisoned_step = 5;  // of one rank's piece alone
  for (const absl::Status& status : OnRanks(Kind::kLocal, temp / "g", 2, [&](ProcessGroup& group) {
         return FitOn(&group, *shared, "state", fits[group.rank()], options);
       })) {
    REQUIRE_OK(status);
  }
  CHECK((SameWeights(fits[0], alone) && SameWeights(fits[1], alone)));
  CHECK(fits[0].report.skipped == 1);
}

TEST_CASE("Processes of which one is cancelled leave a state together, and continue") {
  const TempFolder temp;
  const Kind kind = GENERATE(Kind::kLocal, Kind::kConnected);
  train::LoopOptions options = FitOptions();
  options.accumulate = 2;
  options.state_every = 0;
  Fit alone;
  const auto env = NewMemEnv(), shared = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, options));
  std::vector<Fit> fits(2);
  CancellationToken cancel;
  fits[1].cancel = &cancel;
  fits[1].cancel_at = 6;
  for (const absl::Status& status : OnRanks(kind, temp / "g", 2, [&](ProcessGroup& group) {
         return FitOn(&group, *shared, "state", fits[group.rank()], options);
       })) {
    CHECK(absl::IsCancelled(status));
  }
  const std::vector<Fit> again = FitTogether(kind, temp / "again", *shared, 2, options);
  CHECK(again[1].report.first_step == 7);
  CHECK(SameWeights(again[0], alone));
}

TEST_CASE("Processes killed at any write of any of them continue to the bits of unbroken ones") {
  const TempFolder temp;
  train::LoopOptions options = FitOptions();
  options.accumulate = 2;
  Fit alone;
  const auto env = NewMemEnv();
  REQUIRE_OK(FitOn(nullptr, *env, "state", alone, options));
  for (const int victim : {0, 1}) {
    bool through = false;
    for (int64_t fail_at = 0; !through; ++fail_at) {
      REQUIRE(fail_at < 400);
      const auto disk = NewMemEnv();
      {
        const auto failing = NewFaultEnv(*disk, fail_at);
        std::vector<Fit> fits(2);
        const std::vector<absl::Status> results =
            OnRanks(Kind::kLocal, temp / absl::StrCat("f", victim, "-", fail_at), 2,
                    [&](ProcessGroup& group) {
                      return FitOn(&group, group.rank() == victim ? *failing : *disk, "state",
                                   fits[group.rank()], options);
                    });
        CHECK(results[0].ok() == results[1].ok());
        through = results[0].ok();
      }
      INFO("rank " << victim << " fails at write " << fail_at);
      CHECK((!through || fail_at > 6));
      const std::vector<Fit> again = FitTogether(
          Kind::kLocal, temp / absl::StrCat("r", victim, "-", fail_at), *disk, 2, options);
      REQUIRE(SameWeights(again[0], alone));
      REQUIRE(SameWeights(again[1], alone));
    }
  }
}

TEST_CASE("Processes that do not see the same state are told") {
  const TempFolder temp;
  const auto mine = NewMemEnv(), yours = NewMemEnv();
  Fit before;
  train::LoopOptions options = FitOptions();
  options.accumulate = 2;
  options.steps = 4;
  REQUIRE_OK(FitOn(nullptr, *yours, "state", before, options));
  options.steps = 12;
  std::vector<Fit> fits(2);
  const std::vector<absl::Status> results =
      OnRanks(Kind::kLocal, temp / "g", 2, [&](ProcessGroup& group) {
        return FitOn(&group, group.rank() == 0 ? *mine : *yours, "state", fits[group.rank()],
                     options);
      });
  CHECK(absl::IsAborted(results[0]));
  CHECK(absl::IsFailedPrecondition(results[1]));
  CHECK(std::string(results[1].message()).find("must see the same files") != std::string::npos);
}

TEST_CASE("Tensors are shared out evenly, and the same way each time") {
  CHECK(train::BalancedOwners({5, 1, 4, 3, 3}, 1) == std::vector<int>(5, 0));
  CHECK(train::BalancedOwners({5, 1, 4, 3, 3}, 2) == std::vector<int>{0, 1, 1, 1, 0});
  CHECK(train::BalancedOwners({}, 3).empty());
  const at::Tensor sizes =
      at::randint(1, 1000, {200}, at::detail::createCPUGenerator(7), at::kLong);
  const auto* data = sizes.const_data_ptr<int64_t>();
  const std::vector<int64_t> list(data, data + sizes.numel());
  for (const int ranks : {2, 3, 8}) {
    std::vector<int64_t> held(ranks, 0);
    const std::vector<int> owners = train::BalancedOwners(list, ranks);
    for (size_t i = 0; i < list.size(); ++i) held[owners[i]] += list[i];
    const auto [least, most] = std::minmax_element(held.begin(), held.end());
    CHECK(*most - *least <= 1000);
  }
}

TEST_CASE("Tensors larger and smaller than a bucket, and other views of memory, travel alike") {
  const TempFolder temp;
  constexpr int64_t kLong = train::kBucketBytes / 4 + 10;
  const std::vector<int> owners{1, 0, 1, 1, 0, 1};
  const auto make = [&](int rank) {
    std::vector<at::Tensor> tensors;
    for (const int64_t count : {int64_t{3}, kLong, int64_t{1000}, kLong, int64_t{0}}) {
      tensors.push_back(at::full({count}, rank + 1.0));
    }
    tensors.push_back(at::full({6, 4}, rank + 1.0).t());  // not contiguous
    return tensors;
  };
  for (const absl::Status& status : OnRanks(Kind::kLocal, temp / "g", 2, [&](ProcessGroup& group) {
         train::TensorExchange exchange(group, owners);
         std::vector<at::Tensor> sums = make(group.rank());
         if (const absl::Status s = exchange.ReduceToOwners(sums); !s.ok()) return s;
         for (size_t i = 0; i < sums.size(); ++i) {
           if (sums[i].defined() != (owners[i] == group.rank())) {
             return absl::DataLossError(absl::StrCat("tensor ", i, " is at the wrong rank"));
           }
           if (sums[i].defined() && !sums[i].eq(3).all().item<bool>()) {
             return absl::DataLossError(absl::StrCat("another sum of tensor ", i));
           }
         }
         const std::vector<at::Tensor> spread = make(group.rank());
         if (const absl::Status s = exchange.SpreadFromOwners(spread); !s.ok()) return s;
         for (size_t i = 0; i < spread.size(); ++i) {
           if (!spread[i].eq(owners[i] + 1).all().item<bool>()) {
             return absl::DataLossError(absl::StrCat("another tensor ", i));
           }
         }
         return absl::OkStatus();
       })) {
    REQUIRE_OK(status);
  }
}

TEST_CASE("An error of one process ends the training of all") {
  const TempFolder temp;
  std::vector<Fit> fits(2);
  fits[1].fail_in_part = 1;
  const auto env = NewMemEnv();
  const std::vector<absl::Status> results = OnRanks(
      Kind::kLocal, temp / "group", 2,
      [&](ProcessGroup& group) { return FitOn(&group, *env, "state", fits[group.rank()], 2); });
  CHECK(std::string(results[1].message()).find("went wrong") != std::string::npos);
  CHECK(absl::IsAborted(results[0]));
  // The pieces of a batch must be shared evenly.
  for (const absl::Status& status :
       OnRanks(Kind::kLocal, temp / "other", 2, [&](ProcessGroup& group) {
         return FitOn(&group, *env, "other", fits[group.rank()], 3);
       })) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find("fit.accumulate is 3") != std::string::npos);
  }
}

constexpr char kFolderVariable[] = "WANLITE_TEST_FOLDER";
constexpr char kVictimVariable[] = "WANLITE_TEST_VICTIM";  // rank that is killed; none when empty

// Run by the case below, in processes of their own, with what torchrun would say of them.
TEST_CASE("a member of a group of processes", "[.member]") {
  const char* folder = std::getenv(kFolderVariable);
  const char* victim = std::getenv(kVictimVariable);
  REQUIRE((folder != nullptr && victim != nullptr));
  const std::string dir = folder;
  ASSERT_OK_AND_ASSIGN(const std::optional<RankAddress> address, AddressFromEnvironment());
  REQUIRE(address.has_value());
  ASSERT_OK_AND_ASSIGN(const auto group, JoinGroup(*address, kPatience));
  Fit fit;
  if (std::to_string(group->rank()) == victim) fit.kill_at = 9;
  const absl::Status status =
      FitOn(group.get(), PosixEnv(), JoinPath(dir, "state"), fit, group->size());
  if (*victim != '\0') {
    INFO(status.ToString());
    CHECK(absl::IsUnavailable(status));
    CHECK(std::string(status.message()).find("a process of the group is gone") !=
          std::string::npos);
    return;
  }
  REQUIRE_OK(status);
  REQUIRE_OK(WriteSafetensors(PosixEnv(), JoinPath(dir, absl::StrCat("rank", group->rank())),
                              {{"w", fit.w.detach()}, {"u", fit.u.detach()}}));
}

int RunMember(const std::vector<std::string>& own, pid_t& child) {
  std::vector<std::string> variables = own;
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
  for (const int ranks : {2, 3}) {
    const std::string dir = temp / absl::StrCat("run", ranks);
    REQUIRE_OK(PosixEnv().CreateFolders(dir));
    for (const int victim : {ranks - 1, 0, -1}) {
      ASSERT_OK_AND_ASSIGN(const int port, FreePort());
      std::vector<pid_t> children(ranks);
      for (int rank = 0; rank < ranks; ++rank) {
        REQUIRE(RunMember({absl::StrCat("RANK=", rank), absl::StrCat("WORLD_SIZE=", ranks),
                           "MASTER_ADDR=127.0.0.1", absl::StrCat("MASTER_PORT=", port),
                           absl::StrCat(kFolderVariable, "=", dir),
                           absl::StrCat(kVictimVariable, "=",
                                        victim < 0 ? std::string() : std::to_string(victim))},
                          children[rank]) == 0);
      }
      const auto begin = std::chrono::steady_clock::now();
      for (int rank = 0; rank < ranks; ++rank) {
        int end = 0;
        waitpid(children[rank], &end, 0);
        INFO("rank " << rank << " of " << ranks << ", killed: " << victim);
        if (rank == victim) {
          CHECK((WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL));
        } else {
          CHECK((WIFEXITED(end) && WEXITSTATUS(end) == 0));
        }
      }
      CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(50));
    }
    Fit alone;
    const auto env = NewMemEnv();
    REQUIRE_OK(FitOn(nullptr, *env, "state", alone, ranks));
    for (int rank = 0; rank < ranks; ++rank) {
      ASSERT_OK_AND_ASSIGN(const auto source,
                           OpenSafetensors(PosixEnv(), JoinPath(dir, absl::StrCat("rank", rank))));
      CHECK(at::equal(*source->Read("w"), alone.w.detach()));
      CHECK(at::equal(*source->Read("u"), alone.u.detach()));
    }
  }
}

}  // namespace
}  // namespace wanlite
