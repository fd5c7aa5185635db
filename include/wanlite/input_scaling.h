// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Where the features of a linear layer's input may be divided by numbers of their own without
// changing what the model computes: whatever makes the input is divided, the columns of all that
// read it are multiplied. Declared by modules, as their topology is; smoothing and scale searches
// before quantizing use it.
#ifndef WANLITE_INPUT_SCALING_H_
#define WANLITE_INPUT_SCALING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "wanlite/model_view.h"

namespace wanlite {

// Entries [begin, begin + features) of a tensor, flattened in C order, or of the rows of a linear
// layer and its bias. One for each feature.
struct ScaledTensor {
  std::string path;
  int64_t begin = 0;
  // What is divided is offset + entry: 1 for the table of a modulation by 1 + scale.
  double offset = 0;
};

struct InputScaling {
  std::string name;  // for people: "transformer.blocks.0.self_attn.o"
  int64_t features = 0;
  std::vector<std::string> readers;  // linears: all that read this input
  std::vector<ScaledTensor> sources;
};

// Implemented by a component's module beside nn::Describable.
class InputScalable {
 public:
  virtual ~InputScalable() = default;
  // Paths relative to the component, sizes as they are now.
  virtual std::vector<InputScaling> InputScalings() const = 0;
};

// With full paths; empty where the component's module declares none.
std::vector<InputScaling> InputScalingsOf(const Component& component);

// Divides the input by `divisors`, fp32 [features], positive and finite, as far as that concerns
// tensors of the leased block: done for every block that holds a reader or a source, the model is
// what it was, up to rounding in the dtypes of its tensors. Readers must be dense, and so must
// sources that are linears; InvalidArgument names the one that is not. Changes nothing on an error
// but what it did to the tensors before the one that is named.
absl::Status ScaleInput(ModelView& model, const InputScaling& scaling, const at::Tensor& divisors,
                        absl::string_view block);

}  // namespace wanlite

#endif  // WANLITE_INPUT_SCALING_H_
