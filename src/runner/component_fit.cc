// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/component_fit.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

// nullopt when the component is not there, or is another network.
template <typename Config>
absl::StatusOr<std::optional<Config>> ConfigOfComponent(
    const ModelView& shapes, absl::string_view name, absl::string_view architecture,
    absl::StatusOr<Config> (*parse)(absl::string_view)) {
  const Component* component = shapes.FindComponent(name);
  if (component == nullptr || component->architecture != architecture) {
    return std::optional<Config>();
  }
  absl::StatusOr<Config> config = parse(component->config_json);
  if (!config.ok()) return Annotate(config.status(), name);
  return std::optional<Config>(*std::move(config));
}

absl::Status CheckSame(absl::string_view what, int64_t value, absl::string_view other,
                       int64_t other_value) {
  if (value == other_value) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " ", value, ", but ", other, " ",
                                                 other_value, ": they are of different models"));
}

}  // namespace

absl::Status CheckComponentsFit(const ModelView& shapes) {
  WANLITE_ASSIGN_OR_RETURN(
      const auto vae,
      ConfigOfComponent<wan::VaeConfig>(shapes, "vae", "AutoencoderKLWan", wan::ParseVaeConfig));
  WANLITE_ASSIGN_OR_RETURN(const auto text,
                           ConfigOfComponent<wan::Umt5Config>(
                               shapes, "text_encoder", "UMT5EncoderModel", wan::ParseUmt5Config));
  std::optional<wan::DitConfig> first;
  for (const std::string name : {"transformer", "transformer_2"}) {
    WANLITE_ASSIGN_OR_RETURN(
        const auto dit, ConfigOfComponent<wan::DitConfig>(shapes, name, "WanTransformer3DModel",
                                                          wan::ParseDitConfig));
    if (!dit.has_value()) continue;
    if (dit->in_channels > dit->out_channels) {
      return absl::UnimplementedError(
          absl::StrCat(name, " takes ", dit->in_channels, " channels and gives ", dit->out_channels,
                       ": it wants an image beside the noise, and only text-to-video is built"));
    }
    WANLITE_RETURN_IF_ERROR(CheckSame(absl::StrCat("the channels ", name, " takes are"),
                                      dit->in_channels, "those it gives", dit->out_channels));
    if (vae.has_value()) {
      WANLITE_RETURN_IF_ERROR(CheckSame(absl::StrCat("the latent channels of ", name, " are"),
                                        dit->in_channels, "those of vae", vae->z_dim));
    }
    if (text.has_value()) {
      WANLITE_RETURN_IF_ERROR(CheckSame(absl::StrCat("the text width of ", name, " is"),
                                        dit->text_dim, "that of text_encoder", text->d_model));
    }
    if (first.has_value()) {
      WANLITE_RETURN_IF_ERROR(CheckSame("the latent channels of transformer_2 are",
                                        dit->in_channels, "those of transformer",
                                        first->in_channels));
      WANLITE_RETURN_IF_ERROR(CheckSame("the text width of transformer_2 is", dit->text_dim,
                                        "that of transformer", first->text_dim));
    }
    if (!first.has_value()) first = *dit;
  }
  return absl::OkStatus();
}

absl::Status CheckVocabularyFits(const ModelView& shapes, int64_t pieces) {
  WANLITE_ASSIGN_OR_RETURN(const auto text,
                           ConfigOfComponent<wan::Umt5Config>(
                               shapes, "text_encoder", "UMT5EncoderModel", wan::ParseUmt5Config));
  if (!text.has_value() || pieces <= text->vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the tokenizer has ", pieces, " pieces, but text_encoder has embeddings for ",
                   text->vocab_size, ": they are of different models"));
}

}  // namespace wanlite
