// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A component as a wider network that computes the same: the inverse of ModelView::KeepUnits().
#ifndef WANLITE_SRC_CHECKPOINT_UNIT_PADDING_H_
#define WANLITE_SRC_CHECKPOINT_UNIT_PADDING_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/core/libtorch.h"
#include "wanlite/architecture.h"
#include "wanlite/model_view.h"

namespace wanlite {

class UnitPadding {
 public:
  // How the component of `view` becomes the network of `config_json`, whose axis groups have at
  // least as many units each. Units that are added are zeros in all their tensors, so that they
  // give nothing to whoever reads them; what an RMS norm keeps is scaled by sqrt(units before /
  // units after), since the added zeros count in its mean. Exact but for rounding, and for the
  // norm's epsilon, which counts for less. FailedPrecondition where a layer norm would see more
  // channels.
  static absl::StatusOr<UnitPadding> Create(const ModelView& view, const Component& component,
                                            const Architecture& architecture,
                                            std::string config_json);

  const std::string& config_json() const { return config_json_; }
  // Shape of a tensor in the wider network, and its value there. name: path inside the component,
  // "….weight" of a linear layer whatever its format is here. value: dense.
  absl::StatusOr<std::vector<int64_t>> ShapeOf(const std::string& name) const;
  absl::StatusOr<at::Tensor> Pad(const std::string& name, const at::Tensor& value) const;
  // "blocks' ffn.channels of 24 to 30 become 40" for each kind of group that has grown.
  const std::vector<std::string>& grown() const { return grown_; }

 private:
  struct Step {
    int64_t dim = 0;
    at::Tensor places;  // int64 [size before]: where each index goes
    int64_t size = 0;   // after
    double scale = 1;
  };
  std::string config_json_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  std::map<std::string, std::vector<Step>> steps_;
  std::vector<std::string> grown_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_UNIT_PADDING_H_
