// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The names of tensors in LoRA files: what each says of its layer, its part and its network.
#ifndef WANLITE_SRC_LORA_LORA_NAMES_H_
#define WANLITE_SRC_LORA_LORA_NAMES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/lora.h"
#include "wanlite/model_view.h"

namespace wanlite {

enum class LoraPart {
  kA,               // lora_A, lora_down
  kB,               // lora_B, lora_up
  kBiasOfB,         // what B's own bias adds to the layer's, scaled as B is
  kAlpha,           // one number
  kDifference,      // of a weight
  kBiasDifference,  // of a bias
  kModulation,      // of the table `modulation` of a block or head
};

// A name taken apart.
struct LoraName {
  LoraPart part;
  std::string network;  // which network its prefix names; empty when it names none
  std::string layer;    // the rest: "blocks.0.self_attn.q", "blocks_0_self_attn_q"
};

// `components`: names that a network's prefix may be, beside high_noise and low_noise, which
// come out as kHighNoiseHint and kLowNoiseHint. Unimplemented for parts of other kinds of adapter,
// InvalidArgument for what is no name of an adapter.
inline constexpr char kHighNoiseHint[] = "high_noise";
inline constexpr char kLowNoiseHint[] = "low_noise";
absl::StatusOr<LoraName> ParseLoraName(absl::string_view name,
                                       const std::vector<std::string>& components);

// kHighNoiseHint or kLowNoiseHint for a file name with one of them in it, in any spelling; else
// empty.
std::string NoiseHintOf(absl::string_view file_name);

// The layers and tensors of one component by every name that a file may have for them: internal and
// foreign ones, with dots or underscores.
class LayerNames {
 public:
  static absl::StatusOr<LayerNames> Of(const ModelView& model, const Component& component);
  // Full path of a linear or a tensor; empty when there is none of the name. InvalidArgument for a
  // name that means several.
  absl::StatusOr<std::string> Linear(absl::string_view name) const { return Find(linears_, name); }
  absl::StatusOr<std::string> Tensor(absl::string_view name) const { return Find(tensors_, name); }

 private:
  using Table = std::map<std::string, std::string>;
  static absl::StatusOr<std::string> Find(const Table& table, absl::string_view name);
  Table linears_, tensors_;
};

// Name of a linear inside its component, as the foreign scheme has it.
absl::StatusOr<std::string> ForeignLayerName(const Component& component,
                                             const std::string& internal);
// What the names of a linear's tensors begin with in a file.
absl::StatusOr<std::string> LayerPrefix(const Component& component, const std::string& internal,
                                        LoraNaming naming);
// What they end in: of A and of B.
const char* EndingOfA(LoraNaming naming);
const char* EndingOfB(LoraNaming naming);

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_LORA_NAMES_H_
