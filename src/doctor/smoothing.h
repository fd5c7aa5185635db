// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A smoothed model has other weights than its original and computes the same. For them to be
// compared layer by layer, the original is smoothed the same way: by divisors that are read off the
// two.
#ifndef WANLITE_SRC_DOCTOR_SMOOTHING_H_
#define WANLITE_SRC_DOCTOR_SMOOTHING_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/input_scaling.h"
#include "wanlite/model_view.h"

namespace wanlite {

class Smoothing {
 public:
  // Path in the compressed model of a tensor or layer of the original; empty where it has none.
  using PathOf = std::function<std::string(const std::string& original)>;

  // What is pointed to must outlive it.
  Smoothing(ModelView& original, const ModelView& compressed, const Component& component,
            PathOf path_of);

  // For scalings that reach through several blocks: told of blocks that are leased in both models,
  // of all that it asks for, before Apply().
  std::vector<std::string> BlocksToRead() const;
  void Read(const std::string& block);
  // Both blocks are leased: finds the scalings that are inside it, and applies those that concern
  // it to the original's. May throw c10::Error.
  absl::Status Apply(const std::string& block);
  // How many inputs were smoothed.
  int64_t count() const;

 private:
  struct Found {
    InputScaling scaling;
    std::vector<std::string> blocks;     // of the original, that hold a part of it
    at::Tensor by_sources;               // fp32 [features], undefined until seen
    std::vector<at::Tensor> by_readers;  // of each reader in one block
    at::Tensor divisors;                 // undefined: not smoothed, or not yet known
  };
  void Look(Found& found, const std::string& block);
  static void Decide(Found& found);

  ModelView& original_;
  const ModelView& compressed_;
  const PathOf path_of_;
  std::vector<Found> found_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_DOCTOR_SMOOTHING_H_
