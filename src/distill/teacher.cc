// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/teacher.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/calibration/activation_files.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/block_steps.h"
#include "src/model/float32_block.h"
#include "src/model/rest_block.h"
#include "wanlite/activation_stream.h"
#include "wanlite/process_group.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::distill {
namespace {

constexpr char kTeacherFile[] = "teacher.txt";
constexpr int64_t kCachePackBytes = int64_t{64} << 20;

class TeacherInMemory : public Teacher {
 public:
  TeacherInMemory(const ModelView& model, std::vector<TeacherWants> wants)
      : model_(model), wants_(std::move(wants)) {}

  TeacherGives Give(size_t component, const std::vector<int64_t>&,
                    const Values& inputs) const override {
    const at::NoGradGuard no_grad;
    const TeacherWants& wants = wants_[component];
    TeacherGives gives;
    gives.values.resize(wants.values.size());
    if (!wants.output && wants.values.empty()) return gives;
    train::ProgramRun run;
    run.observe = [&](size_t step, const Values& values) {
      for (size_t i = 0; i < gives.values.size(); ++i) {
        const auto& [wanted_step, name] = wants.values[i];
        if (wanted_step == step) gives.values[i] = ValueOf(values, name.c_str()).to(at::kFloat);
      }
    };
    const at::Tensor output =
        train::RunProgram(*model_.FindComponent(wants.component), inputs, run);
    if (wants.output) gives.output = output.to(at::kFloat);
    return gives;
  }

 private:
  const ModelView& model_;
  const std::vector<TeacherWants> wants_;
};

// Folders of the cache: of values after a step, and of outputs.
std::string StepFolder(const std::string& dir, const std::string& component, size_t step) {
  return JoinPath(dir, absl::StrCat(RestBlock(component), "-after-", step));
}
std::string OutputFolder(const std::string& dir, const std::string& component) {
  return JoinPath(dir, absl::StrCat(RestBlock(component), "-output"));
}

// While rank 0 works alone the others wait, and hear from it often enough not to take it for dead.
class WaitingGroup {
 public:
  explicit WaitingGroup(ProcessGroup* group) : group_(group) {}
  bool works() const { return group_ == nullptr || group_->rank() == 0; }

  // Of rank 0: between two pieces of work, and at its end. An error of the group stays.
  void StillWorks() { failed_.Update(Send(kWorks).status()); }
  absl::Status Ended(const absl::Status& status) {
    failed_.Update(Send(status.ok() ? kDone : kFailed).status());
    WANLITE_RETURN_IF_ERROR(status);
    return failed_;
  }
  const absl::Status& failed() const { return failed_; }

  // Of the others: until rank 0 is done.
  absl::Status Wait() {
    while (true) {
      WANLITE_ASSIGN_OR_RETURN(const double state, Send(0));
      if (state == kWorks) continue;
      if (state == kDone) return absl::OkStatus();
      return absl::AbortedError("another process of the group failed");
    }
  }

 private:
  static constexpr double kDone = 1, kWorks = 2, kFailed = 3;
  absl::StatusOr<double> Send(double state) {
    if (group_ == nullptr || group_->size() == 1 || !failed_.ok()) return state;
    const at::Tensor sum = at::scalar_tensor(state, at::kDouble);
    WANLITE_RETURN_IF_ERROR(group_->AllReduce(sum));
    return sum.item<double>();
  }

  ProcessGroup* const group_;
  absl::Status failed_;
};

// Makes what a component's wants are, for all samples.
class CacheBuilder {
 public:
  CacheBuilder(const PassContext& context, const std::string& dir, ModelView& model,
               const TeacherWants& wants, WaitingGroup& group)
      : context_(context),
        env_(*context.env),
        dir_(dir),
        model_(model),
        wants_(wants),
        group_(group) {
    for (const auto& [step, name] : wants.values) by_step_[step].push_back(name);
  }

  absl::Status Build() {
    const std::string stream_dir =
        JoinPath(dir_, absl::StrCat(RestBlock(wants_.component), "-stream"));
    if (Complete()) {
      return env_.FolderExists(stream_dir) ? env_.RemoveAll(stream_dir) : absl::OkStatus();
    }
    const Component& component = *model_.FindComponent(wants_.component);
    const std::vector<BlockSteps> blocks = BlockStepsOf(component);
    for (const auto& [step, names] : by_step_) {
      const bool behind_a_block =
          std::any_of(blocks.begin(), blocks.end(),
                      [step = step](const BlockSteps& block) { return block.end == step + 1; });
      if (behind_a_block) continue;
      return absl::InternalError(
          absl::StrCat(wants_.component, ": step ", step, " is not the last of its block"));
    }
    WANLITE_ASSIGN_OR_RETURN(stream_, ActivationStream::Open(env_, stream_dir, model_,
                                                             *context_.samples, wants_.component));
    // From the farthest block whose inputs are there. What is behind the last one cannot be
    // entered, and what it starts from is made again.
    const std::string rest = RestBlock(wants_.component);
    const bool tail = blocks.size() > 1 && blocks.back().block == rest;
    size_t at = blocks.size() - (tail ? 2 : 1);
    while (at > 0 && !stream_->CanEnter(blocks[at].block)) --at;
    WANLITE_RETURN_IF_ERROR(stream_->Enter(blocks[at].block));
    ProgressSink& progress = context_.progress != nullptr ? *context_.progress : SilentProgress();
    progress.Begin(absl::StrCat("teacher ", wants_.component), static_cast<int64_t>(blocks.size()));
    const absl::Status run = RunFrom(at, blocks, tail, progress);
    progress.End();
    WANLITE_RETURN_IF_ERROR(run);
    return stream_->Remove();
  }

 private:
  bool Complete() const {
    if (wants_.output && !env_.FolderExists(OutputFolder(dir_, wants_.component))) return false;
    return std::all_of(by_step_.begin(), by_step_.end(), [&](const auto& entry) {
      return env_.FolderExists(StepFolder(dir_, wants_.component, entry.first));
    });
  }

  absl::Status RunFrom(size_t at, const std::vector<BlockSteps>& blocks, bool tail,
                       ProgressSink& progress) {
    const size_t last = blocks.size() - (tail ? 1 : 0);
    // What comes behind the last wanted value need not be run.
    for (;; ++at) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));
      // Before the next block moves the stream on, what came before it is kept.
      if (at > 0) WANLITE_RETURN_IF_ERROR(KeepBehind(blocks[at - 1].end - 1));
      if (at == last || Complete()) break;
      if (stream_->block() != blocks[at].block) {
        WANLITE_RETURN_IF_ERROR(stream_->Enter(blocks[at].block));
      }
      WANLITE_RETURN_IF_ERROR(group_.failed());
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_.Lease(blocks[at].block));
      WANLITE_RETURN_IF_ERROR(Annotate(CatchTorch([&] {
                                         const Float32Block float32(model_, blocks[at].block);
                                         return stream_->Advance(
                                             lease, context_.cancel,
                                             [&](const SampleInfo&) { group_.StillWorks(); });
                                       }),
                                       "the teacher"));
      if (at + 1 < last) WANLITE_RETURN_IF_ERROR(stream_->Enter(blocks[at + 1].block));
      progress.Update(static_cast<int64_t>(at) + 1, blocks[at].block);
    }
    return KeepOutput(tail ? blocks.back().block : "");
  }

  absl::Status KeepBehind(size_t step) {
    const auto wanted = by_step_.find(step);
    if (wanted == by_step_.end()) return absl::OkStatus();
    return Keep(StepFolder(dir_, wants_.component, step), [&](int64_t sample, Values& kept) {
      WANLITE_ASSIGN_OR_RETURN(const Values values, stream_->Input(sample));
      return CatchTorch([&] {
        for (const std::string& name : wanted->second) {
          kept[name] = ValueOf(values, name.c_str()).to(at::kFloat);
        }
      });
    });
  }

  // tail: the block behind the last one, or empty.
  absl::Status KeepOutput(const std::string& tail) {
    if (!wants_.output || env_.FolderExists(OutputFolder(dir_, wants_.component))) {
      return absl::OkStatus();
    }
    const std::string output = ProgramOf(*model_.FindComponent(wants_.component))->Output();
    const auto keep = [&](const BlockLease* lease) {
      return Keep(OutputFolder(dir_, wants_.component), [&](int64_t sample, Values& kept) {
        const at::NoGradGuard no_grad;
        absl::StatusOr<Values> values =
            lease != nullptr ? stream_->Run(*lease, sample) : stream_->Input(sample);
        if (!values.ok()) return values.status();
        return CatchTorch(
            [&] { kept["output"] = ValueOf(*values, output.c_str()).to(at::kFloat); });
      });
    };
    if (tail.empty()) return keep(nullptr);
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_.Lease(tail));
    return CatchTorch([&] {
      const Float32Block float32(model_, tail);
      return keep(&lease);
    });
  }

  template <typename Make>
  absl::Status Keep(const std::string& folder, Make make) {
    if (env_.FolderExists(folder)) return absl::OkStatus();
    return env_.WriteFolderAtomically(folder, [&](const std::string& path) -> absl::Status {
      ActivationWriter writer(env_, path, kCachePackBytes, std::nullopt, /*share=*/false);
      for (int64_t sample = 0; sample < stream_->size(); ++sample) {
        WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));
        group_.StillWorks();
        WANLITE_RETURN_IF_ERROR(group_.failed());
        Values kept;
        WANLITE_RETURN_IF_ERROR(make(sample, kept));
        WANLITE_RETURN_IF_ERROR(writer.Add(kept));
      }
      return writer.Finish();
    });
  }

  const PassContext& context_;
  Env& env_;
  const std::string dir_;
  ModelView& model_;
  const TeacherWants& wants_;
  WaitingGroup& group_;
  std::map<size_t, std::vector<std::string>> by_step_;
  std::unique_ptr<ActivationStream> stream_;
};

class TeacherOnDisk : public Teacher {
 public:
  TeacherOnDisk(Env& env, std::string dir, std::vector<TeacherWants> wants)
      : env_(env), dir_(std::move(dir)), wants_(std::move(wants)) {}

  TeacherGives Give(size_t component, const std::vector<int64_t>& numbers,
                    const Values& inputs) const override {
    const TeacherWants& wants = wants_[component];
    at::Device device(at::kCPU);
    for (const auto& [name, value] : inputs) {
      if (value.defined()) device = value.device();
    }
    const auto together = [&](const std::string& folder, const std::string& name) {
      std::vector<at::Tensor> parts;
      for (const int64_t number : numbers) parts.push_back(Read(folder, number, name));
      return (parts.size() == 1 ? parts.front() : at::cat(parts)).to(device);
    };
    TeacherGives gives;
    if (wants.output) gives.output = together(OutputFolder(dir_, wants.component), "output");
    for (const auto& [step, name] : wants.values) {
      gives.values.push_back(together(StepFolder(dir_, wants.component, step), name));
    }
    return gives;
  }

 private:
  at::Tensor Read(const std::string& folder, int64_t number, const std::string& name) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<ActivationReader>& reader = readers_[folder];
    if (reader == nullptr) {
      absl::StatusOr<std::unique_ptr<ActivationReader>> opened =
          ActivationReader::Open(env_, folder);
      TORCH_CHECK(opened.ok(), std::string(opened.status().message()));
      reader = *std::move(opened);
    }
    Values values;
    const absl::Status read = reader->Read(number, values);
    TORCH_CHECK(read.ok(), std::string(read.message()));
    return ValueOf(values, name.c_str());
  }

  Env& env_;
  const std::string dir_;
  const std::vector<TeacherWants> wants_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::unique_ptr<ActivationReader>> readers_;
};

absl::Status BuildCache(const PassContext& context, const std::string& dir,
                        const std::string& teacher, ModelView& model,
                        const std::vector<TeacherWants>& wants, WaitingGroup& group) {
  Env& env = *context.env;
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  const std::string path = JoinPath(dir, kTeacherFile);
  if (!env.FileExists(path)) {
    WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(path, teacher));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string found, env.ReadFile(path));
  if (found != teacher) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": holds what another teacher gave (", found, ", now ", teacher,
                     "); take back what was changed, or restart the run"));
  }
  for (const TeacherWants& one : wants) {
    WANLITE_RETURN_IF_ERROR(CacheBuilder(context, dir, model, one, group).Build());
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<Teacher> LiveTeacher(const ModelView& model, std::vector<TeacherWants> wants) {
  return std::make_unique<TeacherInMemory>(model, std::move(wants));
}

absl::StatusOr<std::unique_ptr<Teacher>> CachedTeacher(const PassContext& context,
                                                       const std::string& dir,
                                                       const std::string& teacher, ModelView& model,
                                                       std::vector<TeacherWants> wants) {
  WaitingGroup group(context.group);
  WANLITE_RETURN_IF_ERROR(group.works()
                              ? group.Ended(BuildCache(context, dir, teacher, model, wants, group))
                              : group.Wait());
  return std::make_unique<TeacherOnDisk>(*context.env, dir, std::move(wants));
}

}  // namespace wanlite::distill
