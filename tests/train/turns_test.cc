// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Networks that are trained in turn, and tensors that follow others.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/train.h"

namespace wanlite::train {
namespace {

// Draws "one" and "two" to 3, in turn, by steps 0 and 1, and 2, of three; "slow" follows "one".
class TurnObjective : public Objective {
 public:
  explicit TurnObjective(bool turns) : turns_(turns) {}
  std::vector<TrainedTensor> Parameters() override {
    TrainedTensor one{"one", one_}, two{"two", two_}, slow{"slow", slow_};
    if (turns_) {
      one.turns = {true, true, false};
      two.turns = {false, false, true};
    }
    slow.follows = one_;
    slow.follow_decay = 0.9;
    return {one, two, slow};
  }
  Terms Loss(int64_t step, int, int) override {
    history.push_back({one_.item<double>(), two_.item<double>(), slow_.item<double>()});
    at::Tensor loss = (step % 3 == 2 ? two_ : one_) - 3;
    if (!turns_) loss = at::cat({one_, two_}) - 3;
    Terms terms;
    terms.total = loss.square().sum();
    return terms;
  }
  std::vector<std::vector<double>> history;

 private:
  const bool turns_;
  at::Tensor one_ = at::zeros({1}), two_ = at::zeros({1}), slow_ = at::zeros({1});
};

LoopOptions TurnLoop(int64_t steps) {
  LoopOptions options;
  options.steps = steps;
  options.learning_rate = 0.05;
  options.final_rate_ratio = 1;
  options.weight_decay = 0.5;  // what is not its turn must not decay either
  return options;
}

TEST_CASE("In turns a tensor moves in its own steps alone, as it would without the others") {
  const auto env = NewMemEnv();
  TurnObjective turns(true), alone(false);
  TrainRun run;
  run.env = env.get();
  run.what = "turns";
  run.state_dir = "/turns";
  REQUIRE_OK(Train(TurnLoop(30), turns, run));
  run.state_dir = "/alone";
  REQUIRE_OK(Train(TurnLoop(30), alone, run));
  for (size_t step = 0; step + 1 < turns.history.size(); ++step) {
    const auto &now = turns.history[step], &next = turns.history[step + 1];
    CAPTURE(step);
    CHECK((now[0] == next[0]) == (step % 3 == 2));
    CHECK((now[1] == next[1]) == (step % 3 != 2));
    // The k-th own update is the k-th of an unshared run, bias correction of the moments and all.
    const size_t own = (step + 1) / 3 * 2 + std::min<size_t>((step + 1) % 3, 2);
    CHECK(next[0] == Approx(alone.history[own][0]).epsilon(1e-6));
    CHECK(next[1] == Approx(alone.history[(step + 1) / 3][1]).epsilon(1e-6));
  }
}

TEST_CASE("A following tensor is the moving average of its leader") {
  const auto env = NewMemEnv();
  TurnObjective objective(false);
  TrainRun run;
  run.env = env.get();
  run.what = "follow";
  run.state_dir = "/follow";
  REQUIRE_OK(Train(TurnLoop(20), objective, run));
  double slow = 0;
  for (size_t step = 0; step + 1 < objective.history.size(); ++step) {
    slow += 0.1 * (objective.history[step][0] - slow);
    CHECK(objective.history[step + 1][2] == Approx(slow).epsilon(1e-5));
  }
  CHECK(slow > 0.1);
}

TEST_CASE("Updates are counted by turns") {
  TrainedTensor tensor{"t", at::zeros({1})};
  CHECK(UpdatesUntil(tensor, 4) == 5);
  tensor.turns = {false, true, true};
  CHECK(UpdatesUntil(tensor, 0) == 0);
  CHECK(UpdatesUntil(tensor, 2) == 2);
  CHECK(UpdatesUntil(tensor, 7) == 5);
  CHECK_FALSE(TakesPart(tensor, 3));
  CHECK(TakesPart(tensor, 4));
}

}  // namespace
}  // namespace wanlite::train
