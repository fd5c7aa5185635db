// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/set_scorer.h"

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {

SetScorer::SetScorer(const EvaluationSet& set, bool with_features) : set_(set) {
  if (!with_features) return;
  for (const auto& extractor : set.extractors) collectors_.emplace_back(*extractor, set.name);
}

absl::Status SetScorer::EmbedPrompts() {
  std::vector<at::Tensor> embeddings;
  for (const SetPrompt& prompt : set_.prompts) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor embedding, set_.embed_text(prompt.text));
    embeddings.push_back(embedding);
  }
  prompt_embeddings_ = at::stack(embeddings);
  return absl::OkStatus();
}

absl::Status SetScorer::Add(const at::Tensor& clip) {
  const size_t index = rows_.size();
  if (index >= set_.prompts.size()) {
    return absl::InvalidArgumentError(absl::StrCat("set ", set_.name, " has ", set_.prompts.size(),
                                                   " prompts, one clip more came"));
  }
  const SetPrompt& prompt = set_.prompts[index];
  Row row;
  row.language = prompt.language;
  if (set_.embed_clip != nullptr) {
    if (!prompt_embeddings_.defined()) WANLITE_RETURN_IF_ERROR(EmbedPrompts());
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor embedding, set_.embed_clip(clip));
    const at::Tensor cosines = prompt_embeddings_.matmul(embedding);
    row.cosine = cosines[static_cast<int64_t>(index)].item<double>();
    row.best = true;
    for (size_t other = 0; other < set_.prompts.size(); ++other) {
      const SetPrompt& text = set_.prompts[other];
      if (text.language == prompt.language && text.text != prompt.text &&
          cosines[static_cast<int64_t>(other)].item<double>() >= row.cosine) {
        row.best = false;
      }
    }
  }
  if (set_.read != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(row.reading, set_.read(static_cast<int64_t>(index), clip));
  }
  if (clip.size(0) >= 3) {
    WANLITE_ASSIGN_OR_RETURN(const FlickerStatistics flicker, MeasureFlicker(clip));
    flicker_ = Combine(flicker_, flicker);
  }
  for (FeatureCollector& collector : collectors_) {
    WANLITE_RETURN_IF_ERROR(collector.Add(clip));
  }
  rows_.push_back(std::move(row));
  return absl::OkStatus();
}

absl::StatusOr<SetQuality> SetScorer::Finish() {
  if (rows_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("set ", set_.name, ": no clips were scored"));
  }
  for (const FeatureCollector& collector : collectors_) {
    WANLITE_ASSIGN_OR_RETURN(FeatureSet features, collector.Finish());
    features_.push_back(std::move(features));
  }
  SetQuality quality;
  quality.clips = static_cast<int64_t>(rows_.size());
  quality.flicker = flicker_;
  const auto summarize = [&](const std::string& name, const std::string* language) {
    LanguageQuality sum;
    sum.language = name;
    sum.has_alignment = set_.embed_clip != nullptr;
    sum.has_reading = set_.read != nullptr;
    for (const Row& row : rows_) {
      if (language != nullptr && row.language != *language) continue;
      ++sum.clips;
      sum.alignment += row.cosine;
      sum.retrieval += row.best;
      sum.digit += row.reading.digit;
      sum.direction += row.reading.direction;
      sum.colour += row.reading.colour;
      sum.digit_consistency += row.reading.digit_consistent;
    }
    for (double* share : {&sum.alignment, &sum.retrieval, &sum.digit, &sum.direction, &sum.colour,
                          &sum.digit_consistency}) {
      *share /= static_cast<double>(std::max<int64_t>(1, sum.clips));
    }
    return sum;
  };
  std::vector<std::string> languages;
  for (const Row& row : rows_) {
    if (std::find(languages.begin(), languages.end(), row.language) == languages.end()) {
      languages.push_back(row.language);
    }
  }
  for (const std::string& language : languages) {
    quality.languages.push_back(summarize(language, &language));
  }
  if (languages.size() > 1) quality.languages.push_back(summarize("all", nullptr));
  return quality;
}

}  // namespace wanlite
