// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The two stages that a pass can run on: folder to folder, and a model in memory in place.
#ifndef WANLITE_SRC_PIPELINE_STAGES_H_
#define WANLITE_SRC_PIPELINE_STAGES_H_

#include <optional>
#include <string>
#include <vector>

#include "src/core/threads.h"
#include "src/model/hollow_twin.h"
#include "src/pipeline/pass_runner.h"
#include "src/pipeline/run_dir.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

// Reads `input` block by block and writes a checkpoint; everything durable.
class FolderStage : public Stage {
 public:
  // `writer`: of the folder that the stage fills. All must outlive the stage.
  FolderStage(const ModelFolder& input, RunDir& run, int number, CheckpointWriter& writer)
      : input_(input), run_(run), number_(number), writer_(writer) {}

  absl::StatusOr<ModelView> Hollow() override { return input_.BuildView(); }
  absl::StatusOr<ModelView*> Model() override;
  absl::StatusOr<ModelView*> Load(const std::vector<std::string>& components) override;
  absl::StatusOr<std::optional<Decision>> ReadDecision() override;
  absl::Status WriteDecision(const Decision& decision) override;
  absl::StatusOr<std::optional<Metrics>> Published(size_t number,
                                                   const std::string& block) override;
  absl::StatusOr<bool> Adopt(const std::string& component, const std::string& block) override;
  absl::Status Publish(size_t number, const std::string& component, const std::string& block,
                       const std::vector<NamedTensor>& tensors, const Metrics* metrics) override;
  bool assisted() const override { return true; }
  absl::Status Flush() override { return writing_.Wait(); }

 private:
  // Whether the input has a file of just this block.
  absl::StatusOr<bool> HoldsBlock(const std::string& component, const std::string& block);

  const ModelFolder& input_;
  RunDir& run_;
  const int number_;
  CheckpointWriter& writer_;
  std::optional<ModelView> model_, loaded_;
  BackgroundWork writing_;  // uses run_ and writer_, which nothing else does meanwhile
};

// Edits the model in place; nothing of an earlier run is there.
class MemoryStage : public Stage {
 public:
  explicit MemoryStage(ModelView& model) : model_(model) {}

  absl::StatusOr<ModelView> Hollow() override { return HollowTwin(model_); }
  absl::StatusOr<ModelView*> Model() override { return &model_; }
  absl::StatusOr<ModelView*> Load(const std::vector<std::string>&) override { return &model_; }
  absl::StatusOr<std::optional<Decision>> ReadDecision() override {
    return std::optional<Decision>();
  }
  absl::Status WriteDecision(const Decision&) override { return absl::OkStatus(); }
  absl::StatusOr<std::optional<Metrics>> Published(size_t, const std::string&) override {
    return std::optional<Metrics>();
  }
  absl::StatusOr<bool> Adopt(const std::string&, const std::string&) override { return true; }
  absl::Status Publish(size_t, const std::string&, const std::string&,
                       const std::vector<NamedTensor>&, const Metrics*) override {
    return absl::OkStatus();
  }
  bool assisted() const override { return false; }
  absl::Status Flush() override { return absl::OkStatus(); }

 private:
  ModelView& model_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_STAGES_H_
