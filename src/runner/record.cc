// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/record.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/runner/generate_settings.h"
#include "src/runner/select_forwards.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kTextEncoderName[] = "text_encoder";
constexpr char kTextFile[] = "text";
constexpr char kConditional[] = "conditional";
constexpr char kNegative[] = "negative";

std::string TrajectoryFile(int64_t prompt) {
  return absl::StrCat("trajectory-", absl::Dec(prompt, absl::kZeroPad5));
}

// "text.3.embedding"; -1 is the negative prompt.
std::string TextTensor(int64_t prompt, absl::string_view what) {
  return absl::StrCat("text.", prompt < 0 ? kNegative : absl::StrCat(prompt), ".", what);
}

std::string StepTensor(int64_t prompt, int64_t step, absl::string_view what) {
  return absl::StrCat("trajectory.", prompt, ".", step, ".", what);
}

class Recording {
 public:
  Recording(Env& env, Runner& runner, const RecordRequest& request)
      : env_(env),
        runner_(runner),
        request_(request),
        progress_(request.progress != nullptr ? *request.progress : SilentProgress()) {}

  absl::StatusOr<RecordReport> Run(absl::string_view out) {
    WANLITE_RETURN_IF_ERROR(Plan());
    WANLITE_ASSIGN_OR_RETURN(writer_, SampleSetWriter::Create(env_, out, Info()));
    if (writer_->complete()) {
      report_.resumed = true;
    } else {
      WANLITE_RETURN_IF_ERROR(RecordTexts());
      WANLITE_RETURN_IF_ERROR(RecordTrajectories());
      WANLITE_RETURN_IF_ERROR(writer_->Finish(Samples()));
    }
    writer_ = nullptr;
    WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env_, out));
    for (const std::string& name : set.components()) report_.samples[name] = set.size(name);
    report_.fingerprint = set.fingerprint();
    report_.bytes = set.bytes();
    return std::move(report_);
  }

 private:
  absl::Status Plan() {
    GenerateRequest settings = request_.generate;
    settings.prompt_embeds = settings.negative_prompt_embeds = settings.initial_latents =
        at::Tensor();
    WANLITE_ASSIGN_OR_RETURN(report_.settings, runner_.Resolve(settings));
    prompts_ = request_.prompts.empty() ? report_.settings.prompts : request_.prompts;
    if (prompts_.empty()) {
      return absl::InvalidArgumentError(
          "no prompts were given, and the model folder has none of its own");
    }
    WANLITE_ASSIGN_OR_RETURN(calls_, runner_.PlanForwards(settings));
    guided_ = std::any_of(calls_.begin(), calls_.end(),
                          [](const ForwardCall& call) { return call.negative; });
    WANLITE_ASSIGN_OR_RETURN(
        selected_, SelectForwards(calls_, static_cast<int64_t>(prompts_.size()), request_.samples,
                                  request_.generate.seed));
    return absl::OkStatus();
  }

  // All that decides about the values, so that another recording is not continued.
  SampleSetInfo Info() const {
    const GenerateSettings& settings = report_.settings;
    const RunnerOptions& options = runner_.options();
    nlohmann::ordered_json json = SettingsJson(settings);
    json["negative_prompt"] = settings.negative_prompt;
    json["samples"] = request_.samples;
    json["device"] = options.device.str();
    json["dtype"] = std::string(c10::toString(options.dtype));
    json["numerics"] = options.numerics == wan::Numerics::kOfficial ? "official" : "diffusers";
    return {runner_.folder().fingerprint(), request_.generate.seed,
            json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), prompts_};
  }

  // -1 is the negative prompt.
  std::vector<int64_t> Texts() const {
    std::vector<int64_t> texts;
    for (size_t i = 0; i < prompts_.size(); ++i) texts.push_back(static_cast<int64_t>(i));
    if (guided_) texts.push_back(-1);
    return texts;
  }

  absl::Status RecordTexts() {
    const std::vector<int64_t> texts = Texts();
    const bool there = writer_->HasFile(kTextFile);
    report_.resumed = report_.resumed || there;
    progress_.Begin("encode prompts", static_cast<int64_t>(texts.size()));
    std::vector<NamedTensor> tensors;
    for (size_t i = 0; i < texts.size(); ++i) {
      const int64_t text = texts[i];
      const std::string& words =
          text < 0 ? report_.settings.negative_prompt : prompts_[static_cast<size_t>(text)];
      WANLITE_ASSIGN_OR_RETURN(
          const auto tokens,
          runner_.Tokenize(text < 0 ? "negative prompt" : "prompt", words, report_.warnings));
      if (there) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(runner_.options().cancel));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor embedding, runner_.EncodePrompt(words));
      for (const auto& [name, value] : tokens) tensors.push_back({TextTensor(text, name), value});
      tensors.push_back({TextTensor(text, "embedding"), embedding});
      progress_.Update(static_cast<int64_t>(i) + 1, "");
    }
    progress_.End();
    // It is the largest network, and its work is done.
    runner_.Unload(kTextEncoderName);
    return there ? absl::OkStatus() : writer_->WriteFile(kTextFile, tensors);
  }

  // The selected calls of one prompt, ascending.
  std::set<int64_t> CallsOf(int64_t prompt) const {
    std::set<int64_t> calls;
    for (const SelectedForward& item : selected_) {
      if (item.prompt == prompt) calls.insert(item.call);
    }
    return calls;
  }

  absl::Status RecordTrajectories() {
    std::vector<int64_t> open;
    int64_t passes = 0;
    for (int64_t prompt = 0; prompt < static_cast<int64_t>(prompts_.size()); ++prompt) {
      const std::set<int64_t> calls = CallsOf(prompt);
      if (calls.empty()) continue;
      if (writer_->HasFile(TrajectoryFile(prompt))) {
        report_.resumed = true;
        continue;
      }
      open.push_back(prompt);
      passes += *calls.rbegin() + 1;
    }
    progress_.Begin("record", passes);
    absl::Status status;
    for (const int64_t prompt : open) {
      if (status.ok()) status = RecordTrajectory(prompt);
    }
    progress_.End();
    return status;
  }

  absl::Status RecordTrajectory(int64_t prompt) {
    const std::set<int64_t> wanted = CallsOf(prompt);
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> texts,
                             writer_->OpenFile(kTextFile));
    GenerateRequest generate = request_.generate;
    generate.initial_latents = at::Tensor();
    generate.decode = false;
    generate.seed = request_.generate.seed + static_cast<uint64_t>(prompt);
    WANLITE_ASSIGN_OR_RETURN(generate.prompt_embeds, texts->Read(TextTensor(prompt, "embedding")));
    if (guided_) {
      WANLITE_ASSIGN_OR_RETURN(generate.negative_prompt_embeds,
                               texts->Read(TextTensor(-1, "embedding")));
    }
    std::vector<NamedTensor> tensors;
    std::set<int64_t> steps;  // both branches have the same latents
    int64_t call = 0;
    bool enough = false;
    generate.before_forward = [&](const ForwardCall& now,
                                  const std::map<std::string, at::Tensor>& inputs) {
      if (wanted.contains(call) && steps.insert(now.step).second) {
        for (const char* name : {"hidden_states", "timestep"}) {
          tensors.push_back({StepTensor(prompt, now.step, name), inputs.at(name).cpu()});
        }
      }
      progress_.Update(++passes_done_, now.component);
      // What comes after the last sample need not be run.
      enough = call++ == *wanted.rbegin();
      return enough ? absl::CancelledError("all samples are taken") : absl::OkStatus();
    };
    const absl::Status generated = runner_.Generate(generate).status();
    if (!enough) {
      if (!generated.ok()) return generated;
      return absl::InternalError(absl::StrCat("prompt ", prompt, ": the generation made ", call,
                                              " forward passes, planned ", calls_.size()));
    }
    return writer_->WriteFile(TrajectoryFile(prompt), tensors);
  }

  std::vector<SampleInfo> Samples() const {
    std::vector<SampleInfo> samples;
    for (const int64_t text : Texts()) {
      SampleInfo sample;
      sample.component = kTextEncoderName;
      // A generation encodes its prompt and the negative one.
      sample.weight = text < 0 ? static_cast<double>(prompts_.size()) : 1;
      sample.prompt = text;
      sample.branch = text < 0 ? kNegative : kConditional;
      for (const char* name : {"input_ids", "attention_mask"}) {
        sample.values[name] = TextTensor(text, name);
      }
      samples.push_back(std::move(sample));
    }
    for (const SelectedForward& item : selected_) {
      const ForwardCall& call = calls_[static_cast<size_t>(item.call)];
      SampleInfo sample;
      sample.component = call.component;
      sample.weight = item.weight;
      sample.prompt = item.prompt;
      sample.branch = call.negative ? kNegative : kConditional;
      sample.step = call.step;
      sample.timestep = call.timestep;
      for (const char* name : {"hidden_states", "timestep"}) {
        sample.values[name] = StepTensor(item.prompt, call.step, name);
      }
      sample.values["encoder_hidden_states"] =
          TextTensor(call.negative ? -1 : item.prompt, "embedding");
      samples.push_back(std::move(sample));
    }
    return samples;
  }

  Env& env_;
  Runner& runner_;
  const RecordRequest& request_;
  ProgressSink& progress_;
  std::unique_ptr<SampleSetWriter> writer_;
  std::vector<std::string> prompts_;
  std::vector<ForwardCall> calls_;
  std::vector<SelectedForward> selected_;
  bool guided_ = false;
  int64_t passes_done_ = 0;
  RecordReport report_;
};

}  // namespace

absl::StatusOr<RecordReport> RecordSamples(Env& env, Runner& runner, const RecordRequest& request,
                                           absl::string_view out) {
  return Recording(env, runner, request).Run(out);
}

}  // namespace wanlite
