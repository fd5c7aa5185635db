// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/load_lora.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/file_tools.h"
#include "src/core/option_field.h"
#include "src/lora/lora_file.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

class LoadLoraPass : public BlockPass {
 public:
  LoadLoraPass(LoadLoraOptions options, std::vector<LoraFile> files)
      : options_(std::move(options)), files_(std::move(files)) {}

  absl::string_view name() const override { return "load-lora"; }
  const Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const LoraSet loras, FitLoras(files_, model));
    PassNotes notes;
    notes.notes = loras.Describe();
    for (const LoraFile& file : files_) notes.block_scratch_bytes += file.file->file_bytes();
    notes.block_scratch_bytes /= static_cast<int64_t>(std::max<size_t>(1, model.blocks().size()));
    if (loras.differences() > 0) {
      notes.value_changes.emplace_back(
          "load-lora", absl::StrCat(loras.differences(), " tensors get a difference added"));
    }
    return notes;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LoraSet loras, FitLoras(files_, model));
    // Before the first block changes.
    WANLITE_RETURN_IF_ERROR(loras.CheckFinite(context.cancel));
    context.metrics["adapter_branches"] = static_cast<double>(loras.branches());
    context.metrics["tensor_differences"] = static_cast<double>(loras.differences());
    auto decision = std::make_unique<LoadLoraDecision>();
    for (const std::string& line : loras.Describe()) decision->add_notes(line);
    return decision;
  }

  std::vector<std::string> Explain(const Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = static_cast<const LoadLoraDecision*>(decision)->notes();
    return {notes.begin(), notes.end()};
  }

  absl::Status ApplyPlan(ModelView& hollow, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const LoraSet loras, FitLoras(files_, hollow));
    return loras.ApplyPlan(hollow);
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<LoraSet> loras = FitLoras(files_, model);
    return !loras.ok() || loras->Touches(model, block);  // RunBlock() tells the error
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const LoraSet loras, FitLoras(files_, model));
    return loras.Apply(model, block.block());
  }

 private:
  const LoadLoraOptions options_;
  const std::vector<LoraFile> files_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeLoadLora(const LoadLoraOptions& options) {
  LoadLoraOptions resolved = options;
  if (resolved.files().empty()) return OptionError("files", "is missing: name at least one file");
  Env& env = PosixEnv();
  std::vector<LoraFile> files;
  std::set<std::string> adapters;
  for (int i = 0; i < resolved.files_size(); ++i) {
    LoadLoraOptions::File& file = *resolved.mutable_files(i);
    const auto bad = [&](absl::string_view field, absl::string_view what) {
      return OptionError(absl::StrCat("files[", i, "].", field), what);
    };
    if (file.path().empty()) return bad("path", "is missing");
    if (!file.has_strength()) file.set_strength(1);
    absl::StatusOr<LoraFile> opened = LoraFile::Open(
        env, {file.path(), file.component(), file.strength(), file.adapter(), file.skip_unknown()});
    if (!opened.ok()) return bad("path", opened.status().message());
    file.set_adapter(opened->spec.adapter);
    if (!adapters.insert(file.adapter()).second) {
      return bad("adapter", absl::StrCat("\"", file.adapter(), "\" is the name of two adapters"));
    }
    absl::StatusOr<std::string> hash = HashFile(env, file.path());
    if (!hash.ok()) return bad("path", hash.status().message());
    if (!file.sha256().empty() && file.sha256() != *hash) {
      return bad("sha256", absl::StrCat(file.sha256(), " is not that of ", file.path(),
                                        ", which is ", *hash));
    }
    file.set_sha256(*hash);
    files.push_back(*std::move(opened));
  }
  return std::make_unique<LoadLoraPass>(std::move(resolved), std::move(files));
}

}  // namespace wanlite
