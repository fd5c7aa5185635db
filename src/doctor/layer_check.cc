// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/doctor/layer_check.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/ops/ops.h"

namespace wanlite {
namespace {

// An error below this is never a fault: casts, and outliers of inputs in eight bits.
constexpr double kLeastBand = 0.1;
// Pruned layers lose that much at most before the doctor asks why.
constexpr double kPrunedBand = 0.5;
// Norms, biases, modulation: nothing rounds them coarsely.
constexpr double kTensorBand = 0.3;
// Codes of inputs at their limit under one scale for all tokens.
constexpr double kSaturatedShare = 0.005;
constexpr double kManyTimes = 20;  // the median channel: an outlier

// |a - b| / |b|, in double, a part at a time: matrices of large models are large. Infinite for
// something in place of nothing.
double RelativeError(const at::Tensor& a, const at::Tensor& b) {
  constexpr int64_t kPart = int64_t{1} << 22;
  const at::Tensor x = a.flatten(), y = b.flatten();
  double size = 0, error = 0;
  for (int64_t from = 0; from < x.numel(); from += kPart) {
    const int64_t to = std::min(x.numel(), from + kPart);
    const at::Tensor wanted = y.slice(0, from, to).to(at::kDouble);
    size += wanted.square().sum().item<double>();
    error += (x.slice(0, from, to).to(at::kDouble) - wanted).square().sum().item<double>();
  }
  return size > 0 ? std::sqrt(error / size) : (error > 0 ? INFINITY : 0);
}

bool AllFinite(const at::Tensor& x) {
  return !x.is_floating_point() || x.isfinite().all().item<bool>();
}

// Float8 has no arithmetic.
at::Tensor Float(const at::Tensor& x) { return x.to(at::kFloat); }

// Share of the codes that are at the ends of what their dtype or format holds; -1 for packed ones.
double ShareAtLimit(const at::Tensor& codes) {
  if (codes.numel() == 0) return 0;
  double limit = 0;
  if (codes.scalar_type() == at::kChar) {
    limit = 127;
  } else if (codes.scalar_type() == at::kFloat8_e4m3fn) {
    limit = 448;
  } else {
    return -1;
  }
  return (Float(codes).abs() >= limit).to(at::kDouble).mean().item<double>();
}

ScaleRange RangeOf(const std::string& name, const at::Tensor& tensor) {
  ScaleRange range;
  range.name = name;
  range.count = tensor.numel();
  const at::Tensor values = Float(tensor).abs().flatten();
  const at::Tensor finite = values.isfinite();
  range.broken = range.count - finite.sum().item<int64_t>();
  range.zeros = (values == 0).sum().item<int64_t>();
  const at::Tensor good = values.masked_select(finite.logical_and(values > 0));
  if (good.numel() == 0) return range;
  range.least = good.min().item<double>();
  range.most = good.max().item<double>();
  return range;
}

// Bits that hold the error of rounding to `bits`: half a step of the largest of values that are
// spread as a bell, a few times over.
double PartOfBits(int bits) { return bits >= 16 ? 0 : 3.2 * std::exp2(-(bits - 1)); }

void LookAtInput(const SeenInput& input, LayerCheck& check) {
  check.input_max = input.channel_max.numel() > 0 ? input.channel_max.max().item<double>() : 0;
  const double median =
      input.channel_max.numel() > 0 ? input.channel_max.median().item<double>() : 0;
  check.outlier_ratio = median > 0 ? check.input_max / median : 0;
  if (check.outlier_ratio < kManyTimes / 2) return;
  const auto order = std::get<1>(input.channel_max.sort(0, /*descending=*/true));
  for (int64_t i = 0; i < std::min<int64_t>(3, order.numel()); ++i) {
    const int64_t channel = order[i].item<int64_t>();
    if (input.channel_max[channel].item<double>() < kManyTimes / 2 * median) break;
    check.outlier_channels.push_back(channel);
  }
}

void LookAtState(const LinearWeight& weight, LayerCheck& check) {
  for (const WeightTensor& state : weight.State()) {
    if (!AllFinite(Float(state.tensor))) check.finite = false;
    if (state.role == WeightTensor::Role::kScale) {
      check.scales.push_back(RangeOf(state.name, state.tensor));
    } else if (state.role == WeightTensor::Role::kCode) {
      check.saturated_weights = std::max(check.saturated_weights, ShareAtLimit(state.tensor));
    }
  }
}

void LookAtCodes(const LinearWeight& weight, const at::Tensor& rows, LayerCheck& check) {
  const InputForm* form = weight.input_form();
  if (form == nullptr) return;
  const QuantizedInput made = form->Quantize(rows);
  if (made.values.numel() != rows.numel()) return;  // packed
  check.saturated_inputs = ShareAtLimit(made.values);
  check.static_input = !made.scale.defined() || made.scale.numel() < rows.size(0);
}

// The rotation that a format's attributes tell; 0: none.
int64_t ToldRotation(const LinearWeight& weight) {
  int64_t group = 0;
  const absl::StatusOr<JsonFields> fields = JsonFields::Parse("attributes", weight.attributes());
  if (!fields.ok() || !fields->Int({"rotation_group"}, group).ok()) return 0;
  return group;
}

// Whether the matrix is the original's with another rotation than its attributes tell.
std::optional<std::string> RotationOf(int64_t told, const at::Tensor& matrix,
                                      const at::Tensor& original, double band) {
  const auto fits = [&](int64_t group) { return group == 0 || matrix.size(1) % group == 0; };
  const auto rotate = [](const at::Tensor& rows, int64_t group) {
    return group == 0 ? rows : ops::HadamardRotate(rows, group);
  };
  const auto name = [](int64_t size) {
    return size == 0 ? std::string("not rotated") : absl::StrCat("rotated in groups of ", size);
  };
  if (!fits(told)) return std::nullopt;
  const at::Tensor stored = rotate(matrix, told);
  for (const int64_t made : {0, 4, 16, 64, 256, 1024}) {
    if (made == told || !fits(made) || RelativeError(rotate(stored, made), original) > band) {
      continue;
    }
    return absl::StrCat("its weights were ", name(made), " and are read as if they were ",
                        name(told),
                        ": the rotation in its attributes is not the one that it was made with");
  }
  return std::nullopt;
}

std::string BrokenCause(const LayerCheck& check) {
  for (const ScaleRange& scale : check.scales) {
    if (scale.broken == 0) continue;
    return absl::StrCat(scale.broken, " of ", scale.count, " values of its ", scale.name,
                        " are NaN or infinite: a range that was zero or not finite when the scale "
                        "was made, or a damaged file");
  }
  return "its weights hold NaN or infinity: a damaged file, or a training that diverged";
}

// What makes the products differ, the surest explanation first.
std::string CauseOf(const LayerPair& pair, const at::Tensor& matrix,
                    const at::Tensor& wanted_matrix, const at::Tensor& product,
                    const at::Tensor& wanted, const LayerCheck& check) {
  if (check.zero_rows > 0) {
    int64_t zero_scales = 0;
    for (const ScaleRange& scale : check.scales) zero_scales += scale.zeros;
    return absl::StrCat(check.zero_rows, " of ", check.rows,
                        " output channels are zero that are not in the original",
                        zero_scales > 0 ? absl::StrCat(": ", zero_scales, " scales are zero")
                                        : ": their weights were lost");
  }
  const double sane = std::max(check.band, kLeastBand);
  for (const auto& [name, other] : pair.others) {
    if (other->out_features() != pair.weight->out_features() ||
        other->in_features() != pair.weight->in_features()) {
      continue;
    }
    if (RelativeError(matrix, other->Dequantize()) < sane) {
      return absl::StrCat("it holds the weights of ", name,
                          " of the original: two layers were mixed up");
    }
  }
  const double apart = RelativeError(product, check.gain * wanted);
  if (apart < sane && std::abs(check.gain - 1) > sane) {
    return absl::StrCat(
        "its products are ", absl::StrFormat("%.4g", check.gain),
        " times the original's, all alike: its scale is off by that factor (a scale applied twice "
        "or not at all, a smoothing that was divided out and never multiplied in, an adapter "
        "merged "
        "with a wrong strength)");
  }
  if (const std::optional<std::string> rotated =
          RotationOf(ToldRotation(*pair.weight), matrix, wanted_matrix, sane)) {
    return *rotated;
  }
  if (check.static_input && check.saturated_inputs > kSaturatedShare) {
    return absl::StrFormat(
        "%.1f %% of its inputs are cut off: its static scale stands for a smaller range than these "
        "inputs have (recorded on other prompts or timesteps, or too low a percentile); calibrate "
        "anew, or use dynamic scales",
        100 * check.saturated_inputs);
  }
  const bool by_inputs = check.weight_error < sane / 2;
  if (by_inputs && check.outlier_ratio > kManyTimes) {
    return absl::StrCat(
        "its weights are right; the inputs have outliers that their scale is "
        "stretched to (channel ",
        absl::StrJoin(check.outlier_channels, ", "), absl::StrFormat(", %.0f", check.outlier_ratio),
        " times the median channel): rotate or smooth the inputs, or leave the "
        "layer out");
  }
  if (by_inputs) {
    return "its weights are right, its inputs are too coarse: use a finer format of inputs, or "
           "leave "
           "the layer out";
  }
  if (check.wrong_rows < check.rows / 2) {
    return absl::StrCat("only ", check.wrong_rows, " of ", check.rows,
                        " output channels are wrong: their scales or codes are damaged");
  }
  if (pair.weight->dense() != nullptr) {
    return "it is not quantized, and its weights are others: trained, pruned, merged with an "
           "adapter "
           "(twice?), or of another model";
  }
  return absl::StrFormat(
      "its weights are %.0f %% off in a format of %.1f bits: the format is too coarse for the "
      "layer, "
      "or codes and scales are not of one making; leave the layer out, or quantize it anew",
      100 * std::min(check.weight_error, 1e4), check.bits);
}

}  // namespace

void InputKeeper::OnInput(const LinearInfo& linear, const at::Tensor& x) {
  const at::Tensor all = x.detach().reshape({-1, x.size(-1)});
  const int64_t count = all.size(0), kept = std::min(count, rows_);
  const at::Tensor index = at::arange(kept, at::kLong) * count / std::max<int64_t>(kept, 1);
  SeenInput& seen_input = seen[linear.path];
  seen_input.rows = all.index_select(0, index.to(at::kLong)).clone();
  seen_input.channel_max = count > 0 ? all.to(at::kFloat).abs().amax(0) : at::zeros({x.size(-1)});
}

double ErrorBand(const LinearWeight& weight, const LinearWeight* original) {
  const int stored = std::max(1, static_cast<int>(std::floor(weight.bits_per_weight())));
  const double weights = PartOfBits(stored),
               inputs = PartOfBits(weight.arithmetic().activation_bits);
  double band = std::max(kLeastBand, std::hypot(weights, inputs));
  // Zeros are a choice, not a fault; some of those in codes are rounding.
  const double kept = weight.dense() != nullptr ? 0.99 : 0.75;
  if (original != nullptr && weight.NonZero() < kept * original->NonZero()) {
    band = std::max(band, kPrunedBand);
  }
  return std::min(band, 0.9);
}

LayerCheck CheckLayer(const LayerPair& pair) {
  const at::NoGradGuard no_grad;
  const LinearWeight& weight = *pair.weight;
  LayerCheck check;
  check.path = pair.path;
  check.format = std::string(weight.format());
  if (weight.attributes() != "{}") absl::StrAppend(&check.format, " ", weight.attributes());
  check.bits = weight.bits_per_weight();
  check.rows = weight.out_features();
  LookAtState(weight, check);
  if (!check.finite) {
    check.cause = BrokenCause(check);
    return check;
  }
  check.compared = pair.original != nullptr && pair.input != nullptr &&
                   pair.input->rows.numel() > 0 &&
                   pair.original->out_features() == weight.out_features() &&
                   pair.original->in_features() == weight.in_features();
  if (!check.compared) return check;
  LookAtInput(*pair.input, check);
  const at::Tensor& rows = pair.input->rows;
  if (!AllFinite(rows)) {
    check.compared = false;  // the original's own fault, or of what comes before
    return check;
  }
  LookAtCodes(weight, rows, check);
  const at::Tensor product = weight.Apply(rows, std::nullopt).to(at::kDouble);
  const at::Tensor wanted = pair.original->Apply(rows, std::nullopt).to(at::kDouble);
  const at::Tensor matrix = weight.Dequantize(), wanted_matrix = pair.original->Dequantize();
  check.band = ErrorBand(weight, pair.original);
  check.weight_error = RelativeError(matrix, wanted_matrix);
  if (!AllFinite(product)) {
    check.finite = false;
    check.cause = absl::StrCat(
        "its weights are finite and its output is not: the product is beyond what ",
        at::toString(rows.scalar_type()), " or its scales can hold (inputs up to ",
        absl::StrFormat("%.3g", check.input_max), "); compute it in fp32 or bf16, or smooth it");
    return check;
  }
  check.error = RelativeError(product, wanted);
  const double energy = wanted.square().sum().item<double>();
  check.gain = energy > 0 ? (product * wanted).sum().item<double>() / energy : 1;
  const at::Tensor row_size = wanted.norm(2, 0), row_error = (product - wanted).norm(2, 0);
  check.wrong_rows = (row_error > check.band * row_size).sum().item<int64_t>();
  check.zero_rows = (matrix.abs().amax(1) == 0)
                        .logical_and(wanted_matrix.abs().amax(1) > 0)
                        .sum()
                        .item<int64_t>();
  if (check.error > check.band) {
    check.cause = CauseOf(pair, matrix, wanted_matrix, product, wanted, check);
  }
  return check;
}

TensorCheck CheckTensor(const std::string& path, const at::Tensor& tensor,
                        const at::Tensor& original) {
  TensorCheck check;
  check.path = path;
  check.band = kTensorBand;
  check.finite = AllFinite(Float(tensor));
  if (!check.finite) {
    check.cause = "it holds NaN or infinity: a damaged file, or a training that diverged";
    return check;
  }
  if (tensor.sizes() != original.sizes()) return check;
  check.error = RelativeError(tensor, original);
  if (check.error > check.band) {
    check.cause =
        "it is no part of a quantized matrix, and its values are others: overwritten, folded with "
        "a "
        "smoothing whose other half is missing, trained, or of another model";
  }
  return check;
}

}  // namespace wanlite
