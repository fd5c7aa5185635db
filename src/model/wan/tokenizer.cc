// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/input_limits.h"
#include "src/core/libtorch.h"
#include "src/model/wan/charsmap.h"
#include "src/model/wan/prompt_cleaning.h"
#include "src/model/wan/sentencepiece_bridge.h"
#include "wanlite/status.h"

namespace wanlite::wan {

Tokenizer::Tokenizer(std::shared_ptr<const SentencePieceModel> model) : model_(std::move(model)) {}

absl::StatusOr<Tokenizer> Tokenizer::Load(Env& env, absl::string_view folder) {
  for (const char* name : {"spiece.model", "tokenizer.model"}) {
    const std::string path = JoinPath(folder, name);
    if (!env.FileExists(path)) continue;
    WANLITE_ASSIGN_OR_RETURN(const std::string serialized, env.ReadFile(path, kMaxSpieceBytes));
    absl::StatusOr<Tokenizer> tokenizer = Parse(serialized);
    if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
    return tokenizer;
  }
  if (env.FileExists(JoinPath(folder, "tokenizer.json"))) {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer folder '", folder,
                     "' has tokenizer.json alone, which is not read; put the SentencePiece file "
                     "spiece.model of the same tokenizer beside it"));
  }
  return absl::NotFoundError(absl::StrCat("tokenizer folder '", folder, "' has no spiece.model"));
}

absl::StatusOr<Tokenizer> Tokenizer::Parse(absl::string_view serialized) {
  std::string error;
  if (!SentencePieceAvailable(&error)) return absl::UnavailableError(error);
  if (serialized.size() > kMaxSpieceBytes) {
    return absl::InvalidArgumentError(absl::StrCat("SentencePiece model of ", serialized.size(),
                                                   " bytes, at most ", kMaxSpieceBytes,
                                                   " are read"));
  }
  // The library believes what these tables say.
  WANLITE_RETURN_IF_ERROR(CheckCharsmaps(serialized));
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const SentencePieceModel> model, CatchTorch([&] {
                             return std::shared_ptr<const SentencePieceModel>(
                                 SentencePieceModel::Parse(std::string(serialized), &error));
                           }));
  if (model == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a SentencePiece model of ", serialized.size(), " bytes: ", error));
  }
  if (model->eos_id() < 0) {
    return absl::InvalidArgumentError(absl::StrCat("SentencePiece model with ",
                                                   model->vocabulary_size(),
                                                   " pieces has no end-of-sentence piece"));
  }
  return Tokenizer(model);
}

absl::StatusOr<TokenizedText> Tokenizer::Encode(const std::string& prompt,
                                                int64_t max_length) const {
  return EncodeBatch({prompt}, max_length);
}

absl::StatusOr<TokenizedText> Tokenizer::EncodeBatch(const std::vector<std::string>& prompts,
                                                     int64_t max_length) const {
  if (max_length < 1 || max_length > kMaxTextTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: max_length is ", max_length, ", must be 1 to ", kMaxTextTokens));
  }
  const int64_t batch = static_cast<int64_t>(prompts.size());
  TokenizedText text{at::full({batch, max_length}, pad_id(), at::kLong),
                     at::zeros({batch, max_length}, at::kLong)};
  for (int64_t row = 0; row < batch; ++row) {
    std::vector<int> ids;
    std::string error;
    if (!model_->Encode(CleanPrompt(prompts[row]), &ids, &error)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer: prompt ", row, " cannot be encoded: ", error));
    }
    ids.resize(std::min<size_t>(ids.size(), static_cast<size_t>(max_length - 1)));
    ids.push_back(model_->eos_id());
    int64_t* id = text.input_ids.data_ptr<int64_t>() + row * max_length;
    int64_t* mask = text.attention_mask.data_ptr<int64_t>() + row * max_length;
    std::copy(ids.begin(), ids.end(), id);
    std::fill_n(mask, ids.size(), 1);
  }
  return text;
}

int64_t Tokenizer::vocabulary_size() const { return model_->vocabulary_size(); }
int64_t Tokenizer::eos_id() const { return model_->eos_id(); }
int64_t Tokenizer::pad_id() const { return std::max(model_->pad_id(), 0); }

}  // namespace wanlite::wan
