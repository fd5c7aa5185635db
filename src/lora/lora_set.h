// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The inside of a LoraSet: what its files change, by path in the model.
#ifndef WANLITE_SRC_LORA_LORA_SET_H_
#define WANLITE_SRC_LORA_LORA_SET_H_

#include <map>
#include <string>
#include <vector>

#include "src/lora/lora_file.h"

namespace wanlite {

struct LoraSet::Rep {
  struct Branch {
    size_t file;       // among `files`
    std::string a, b;  // names of tensors in it
    double alpha, strength;
    int64_t rank;
    at::ScalarType dtype;
  };
  struct Difference {
    size_t file;
    std::string name;
    double scale;  // strength and all
  };
  struct LinearChange {
    std::vector<Difference> differences;  // of the matrix
    std::vector<Branch> branches;
  };
  std::vector<LoraFile> files;
  std::map<std::string, LinearChange> linears;             // by path
  std::map<std::string, std::vector<Difference>> tensors;  // others, by path
  std::vector<std::string> described;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_LORA_SET_H_
