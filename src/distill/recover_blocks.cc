// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method BLOCKS of the pass recover: each block is trained to give what its teacher's blocks
// give, on what the recovered blocks before it make of the recorded inputs.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/distill/recover.h"
#include "src/train/block_training.h"
#include "src/train/loop_options.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

class RecoverBlocks : public BlockPass {
 public:
  explicit RecoverBlocks(RecoverOptions options) : options_(std::move(options)) {
    training_.pass = "recover";
    training_.teacher = TeacherRef(options_);
    training_.loop = train::LoopOf(options_.loop());
    training_.muon = options_.loop().muon();
    training_.train = {options_.train().begin(), options_.train().end()};
    training_.components = {options_.components().begin(), options_.components().end()};
    training_.keep_zeros = options_.keep_zeros();
  }

  absl::string_view name() const override { return "recover"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  std::optional<StreamOptions> activations() const override { return StreamOptions(); }
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    return train::PlanBlockTraining(model, training_);
  }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    return train::TrainsBlock(model, block, training_);
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    return train::TrainBlock(model, block, training_, context);
  }
  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    train::FinishBlockMetrics(metrics);
  }
  std::vector<std::string> Explain(const Message*) const override {
    return {absl::StrCat("each block is trained for ", training_.loop.steps,
                         " steps to what the same part of ", TeacherText(options_), " gives")};
  }

 private:
  const RecoverOptions options_;
  train::BlockTraining training_;
};

}  // namespace

std::unique_ptr<Pass> MakeRecoverBlocks(RecoverOptions options) {
  return std::make_unique<RecoverBlocks>(std::move(options));
}

}  // namespace wanlite
