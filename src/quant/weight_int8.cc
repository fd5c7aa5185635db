// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_int8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/core/strict_json.h"
#include "src/model/dump.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Weights expanded to fp32 at a time while quantizing: 4 MiB, and about 20 MiB with the scratch of
// the error's sums.
constexpr int64_t kChunkWeights = int64_t{1} << 20;

std::string ShapeText(const at::Tensor& tensor) {
  return absl::StrCat(DtypeName(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "),
                      "]");
}

absl::Status CheckGroup(int64_t group, int64_t in_features) {
  if (group == 0) return absl::OkStatus();
  if (!ops::IsRotationGroup(group)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rotation_group ", group, " is not one of 4, 16, 64, 256, 1024"));
  }
  if (in_features % group != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rotation_group ", group, " does not divide the ", in_features, " input features"));
  }
  return absl::OkStatus();
}

// The numbers of the groups that `index` consists of, in its order; Unimplemented when it splits
// one.
absl::Status CheckKeepsGroups(const at::Tensor& index, int64_t group) {
  const at::Tensor features = index.cpu().contiguous();
  const int64_t* feature = features.const_data_ptr<int64_t>();
  const int64_t n = features.numel();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t start = i - i % group;
    if (feature[start] % group == 0 && feature[i] == feature[start] + i % group &&
        start + group <= n) {
      continue;
    }
    return absl::UnimplementedError(absl::StrCat(
        "an int8 weight rotated in groups of ", group,
        " input features can only keep or drop whole groups; input feature ", feature[i],
        " would be parted from its group. Prune before quantizing, or in multiples of ", group));
  }
  return absl::OkStatus();
}

class Int8Weight : public LinearWeight {
 public:
  Int8Weight(at::Tensor weight, at::Tensor weight_scale, int64_t rotation_group)
      : weight_(std::move(weight)),
        weight_scale_(std::move(weight_scale)),
        rotation_group_(rotation_group) {}

  absl::string_view format() const override { return "int8"; }
  std::string attributes() const override {
    if (rotation_group_ == 0) return "{}";
    return absl::StrCat("{\"rotation\":\"convrot\",\"rotation_group\":", rotation_group_, "}");
  }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }

  at::Tensor Apply(const at::Tensor& x, const std::optional<at::Tensor>& bias) const override {
    return ops::Int8Linear(x, weight_, weight_scale_, bias, rotation_group_);
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic{.weight_bits = 8, .activation_bits = 8, .integer = true};
    // Magnitude, maximum, division, rounding; a radix-4 step of the rotation costs 8 per 4
    // elements.
    arithmetic.input_ops = 4;
    if (rotation_group_ != 0) {
      arithmetic.input_ops += std::log2(static_cast<double>(rotation_group_));
    }
    arithmetic.output_ops = 2;  // the token's scale times the row's, times the sum
    return arithmetic;
  }

  std::vector<NamedTensor> State() const override {
    return {{"weight", weight_}, {"weight_scale", weight_scale_}};
  }

  at::Tensor Dequantize() const override {
    at::NoGradGuard no_grad;
    at::Tensor dense = weight_.to(at::kFloat).mul_(weight_scale_);
    // The rotation is its own inverse.
    return rotation_group_ == 0 ? dense : ops::HadamardRotate(dense, rotation_group_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("int8 weight has no dimension ", dim));
    }
    if (dim == 1 && rotation_group_ != 0) {
      WANLITE_RETURN_IF_ERROR(CheckKeepsGroups(index, rotation_group_));
    }
    if (nn::IsHollow(weight_)) {
      return MakeHollowInt8Weight(dim == 0 ? index.numel() : out_features(),
                                  dim == 1 ? index.numel() : in_features(), rotation_group_);
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      at::NoGradGuard no_grad;
      const at::Tensor on_device = index.to(weight_.device());
      // The scale of a row stays when columns go: what is kept keeps its value.
      return std::make_unique<Int8Weight>(
          weight_.index_select(dim, on_device),
          dim == 0 ? weight_scale_.index_select(0, on_device) : weight_scale_.clone(),
          rotation_group_);
    });
  }

 private:
  at::Tensor weight_;        // int8 [out, in], rotated when rotation_group_ != 0
  at::Tensor weight_scale_;  // fp32 [out, 1]
  int64_t rotation_group_;   // 0: none
};

absl::StatusOr<int64_t> ParseRotationGroup(absl::string_view attributes_json) {
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json,
                           ParseStrictJson(attributes_json, "attributes of an int8 weight"));
  const auto refuse = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("attributes of an int8 weight: ", what, ": ", CutText(attributes_json)));
  };
  for (const auto& item : json.items()) {
    if (item.key() != "rotation" && item.key() != "rotation_group") {
      return refuse(absl::StrCat("unknown key ", QuoteName(item.key())));
    }
  }
  const auto rotation = json.find("rotation");
  const auto group = json.find("rotation_group");
  if (rotation == json.end() && group == json.end()) return 0;
  if (rotation == json.end() || !rotation->is_string() ||
      rotation->get_ref<const std::string&>() != "convrot") {
    return refuse("rotation must be \"convrot\"");
  }
  if (group == json.end() || !group->is_number_integer()) {
    return refuse("rotation_group must be an integer");
  }
  const int64_t value = group->get<int64_t>();
  if (value == 0) return refuse("rotation_group must not be 0");
  return value;
}

}  // namespace

double QuantizationError::Relative() const {
  return squared_weight > 0 ? std::sqrt(squared_error / squared_weight) : 0;
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt8Weight(const at::Tensor& dense,
                                                             int64_t rotation_group,
                                                             QuantizationError* error) {
  if (!dense.defined() || dense.dim() != 2 || !dense.is_floating_point() || !dense.is_cpu()) {
    return absl::InvalidArgumentError(
        absl::StrCat("an int8 weight is made from a floating-point CPU matrix [out, in], not from ",
                     dense.defined() ? ShapeText(dense) : "nothing"));
  }
  WANLITE_RETURN_IF_ERROR(CheckGroup(rotation_group, dense.size(1)));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    at::NoGradGuard no_grad;
    const int64_t rows = dense.size(0);
    const int64_t columns = dense.size(1);
    const at::Tensor weight = at::empty({rows, columns}, at::dtype(at::kChar));
    const at::Tensor weight_scale = at::empty({rows, 1}, at::dtype(at::kFloat));
    QuantizationError sums;
    // Rotating back, a radix-4 step first adds four values, then at most doubles each.
    const float largest_scale =
        std::numeric_limits<float>::max() /
        (ops::kInt8Limit *
         (rotation_group == 0 ? 1.001f : 2.001f * std::sqrt(static_cast<float>(rotation_group))));
    const int64_t chunk = std::max<int64_t>(1, kChunkWeights / std::max<int64_t>(1, columns));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t end = std::min(rows, begin + chunk);
      at::Tensor part = dense.slice(0, begin, end).detach().to(at::kFloat);
      if (rotation_group != 0) part = ops::HadamardRotate(part, rotation_group);
      // A row of weights is quantized by the same rule as a token.
      const auto [q, scale] = ops::QuantizePerToken(part);
      // Beyond the limit the weight that this one stands for would not be finite.
      const at::Tensor bad = scale.le(largest_scale).logical_not();
      if (bad.any().item<bool>()) {
        const int64_t row = bad.flatten().to(at::kInt).argmax().item<int64_t>();
        const at::Tensor values = dense.select(0, begin + row).detach().to(at::kFloat);
        return absl::InvalidArgumentError(
            absl::StrCat("the weight ", ShapeText(dense), " holds ",
                         values.isfinite().all().item<bool>()
                             ? absl::StrCat(values.abs().max().item<float>(),
                                            ", too large for int8 with scales in fp32,")
                             : "a NaN or an infinity",
                         " in row ", begin + row));
      }
      weight.slice(0, begin, end).copy_(q);
      weight_scale.slice(0, begin, end).copy_(scale);
      if (error != nullptr) {
        // In the rotated basis, where squares are the same.
        const auto sum_of_squares = [](const at::Tensor& t) {
          return t.square().sum(at::kDouble).item<double>();
        };
        sums.squared_weight += sum_of_squares(part);
        sums.squared_error += sum_of_squares(part.sub_(q.to(at::kFloat).mul_(scale)));
      }
    }
    if (error != nullptr) *error = sums;
    return std::make_unique<Int8Weight>(weight, weight_scale, rotation_group);
  });
}

std::unique_ptr<LinearWeight> MakeHollowInt8Weight(int64_t out_features, int64_t in_features,
                                                   int64_t rotation_group) {
  nn::HollowGuard hollow;
  return std::make_unique<Int8Weight>(nn::NewTensor({out_features, in_features}, at::kChar),
                                      nn::NewTensor({out_features, 1}, at::kFloat), rotation_group);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Int8WeightFromState(
    const std::map<std::string, at::Tensor>& state, absl::string_view attributes_json) {
  for (const char* name : {"weight", "weight_scale"}) {
    const auto found = state.find(name);
    if (found == state.end() || !found->second.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat("an int8 weight needs the tensor ", name, ", which is missing"));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (name != "weight" && name != "weight_scale") {
      return absl::InvalidArgumentError(absl::StrCat("an int8 weight has no tensor ", name));
    }
  }
  const at::Tensor& weight = state.at("weight");
  const at::Tensor& scale = state.at("weight_scale");
  if (weight.dim() != 2 || weight.scalar_type() != at::kChar) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight must be int8 [out, in], found ", ShapeText(weight)));
  }
  if (scale.dim() != 2 || scale.size(0) != weight.size(0) || scale.size(1) != 1 ||
      scale.scalar_type() != at::kFloat) {
    return absl::InvalidArgumentError(absl::StrCat("weight_scale must be fp32 [", weight.size(0),
                                                   ", 1], found ", ShapeText(scale)));
  }
  if (weight.size(1) > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat("an int8 weight of ", weight.size(1),
                                                   " input features; at most ",
                                                   ops::kMaxInt8Features, " are supported"));
  }
  WANLITE_ASSIGN_OR_RETURN(const int64_t group, ParseRotationGroup(attributes_json));
  WANLITE_RETURN_IF_ERROR(CheckGroup(group, weight.size(1)));
  return std::make_unique<Int8Weight>(weight, scale, group);
}

}  // namespace wanlite
