// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <google/protobuf/text_format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/model/dump.h"
#include "src/model/wrap_weight.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr char kLearnedScale[] = "quant_scale";
constexpr char kZero[] = "quant_zero";
// What grids are asked for here (bases, inputs, scales that are free) does not hang on the largest
// magnitude of the matrix.
constexpr double kSomeLargest = 1;

// What a layer is rounded to; shared by all weights made of one.
struct FakeFormat {
  std::string text;  // of the resolved options
  std::unique_ptr<WeightQuantizer> quantizer;
};

std::string OneLine(const LinearFormat& format) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(format, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

absl::StatusOr<std::shared_ptr<const FakeFormat>> ParseFakeFormat(absl::string_view text) {
  LinearFormat message;
  WANLITE_RETURN_IF_ERROR(ParseTextProto(text, "the format of a fake_quant weight", message));
  auto format = std::make_shared<FakeFormat>();
  WANLITE_ASSIGN_OR_RETURN(format->quantizer, MakeWeightQuantizer(message, "format"));
  format->text = OneLine(message);
  return format;
}

// Rows that share a scale: [out, in] -> [out * groups, group].
at::Tensor ByGroups(const at::Tensor& matrix, int64_t groups) {
  return matrix.reshape({matrix.size(0) * groups, matrix.size(1) / groups});
}

struct GridHolder : torch::CustomClassHolder {
  explicit GridHolder(std::shared_ptr<const WeightGrid> held) : grid(std::move(held)) {}
  const std::shared_ptr<const WeightGrid> grid;
};

// `y`, which the real weight made of x, with the gradients of y = RoundInput(x) values^T + bias.
class FakeQuantProduct : public torch::autograd::Function<FakeQuantProduct> {
 public:
  // x: floating [..., in]; values: fp32 [out, in], whose graph goes round rounding, in the basis;
  // matrix: what values are, out of the basis, no gradients; y: [..., out], no gradients.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& values, const std::optional<at::Tensor>& bias,
                            const at::Tensor& matrix, const at::Tensor& y,
                            const c10::intrusive_ptr<GridHolder>& grid) {
    context->save_for_backward({x, matrix});
    context->saved_data["grid"] =
        c10::IValue::make_capsule(c10::intrusive_ptr<torch::CustomClassHolder>(grid));
    if (bias.has_value()) context->saved_data["bias_dtype"] = bias->scalar_type();
    return y.alias();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::NoGradGuard no_grad;
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& matrix = saved[1];
    const at::Tensor dy = gradients[0].to(at::kFloat).reshape({-1, matrix.size(0)});
    at::Tensor dx, dvalues, dbias;
    if (context->needs_input_grad(0)) {
      dx = dy.matmul(matrix).reshape(x.sizes()).to(x.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      const c10::intrusive_ptr<torch::CustomClassHolder> holder =
          context->saved_data["grid"].toCapsule();
      const WeightGrid& grid = *static_cast<const GridHolder&>(*holder).grid;
      dvalues = dy.t().matmul(grid.RoundInput(x.reshape({-1, matrix.size(1)})));
    }
    const auto bias_dtype = context->saved_data.find("bias_dtype");
    if (bias_dtype != context->saved_data.end()) {
      dbias = dy.sum(0).to(bias_dtype->second.toScalarType());
    }
    return {dx, dvalues, dbias, {}, {}, {}};
  }
};

class FakeQuantWeight : public LinearWeight {
 public:
  // learned: fp32 [out, groups], or undefined for scales that are computed; zero: of its shape, of
  // formats with a zero point.
  FakeQuantWeight(std::unique_ptr<LinearWeight> base, std::shared_ptr<const FakeFormat> format,
                  GroupScales learned)
      : base_(std::move(base)),
        format_(std::move(format)),
        grid_(format_->quantizer->Grid(base_->in_features(), kSomeLargest)),
        shell_(format_->quantizer->Hollow(base_->out_features(), base_->in_features())),
        learned_(std::move(learned)) {}

  absl::string_view format() const override { return "fake_quant"; }
  std::string attributes() const override {
    nlohmann::json json = WrapAttributes(*base_);
    json["format"] = format_->text;
    if (learns()) json["learned_scale"] = true;
    return json.dump();
  }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override { return shell_->input_form(); }
  bool reads_dense_input() const override { return shell_->reads_dense_input(); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    const bool graph = at::GradMode::is_enabled();
    const at::Tensor values = graph ? Values() : at::Tensor();
    at::Tensor y, matrix;
    {
      const at::NoGradGuard no_grad;
      const std::unique_ptr<LinearWeight> real = RealOrThrow();
      y = real->Apply(x, bias);
      if (!graph || !(x.requires_grad() || values.requires_grad() ||
                      (bias.has_value() && bias->requires_grad()))) {
        return y;
      }
      matrix = real->Dequantize();
    }
    return FakeQuantProduct::apply(x.dense(), values, bias, matrix, y,
                                   c10::make_intrusive<GridHolder>(grid_));
  }

  LinearArithmetic arithmetic() const override { return shell_->arithmetic(); }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    if (learns()) {
      states.push_back(
          {kLearnedScale, learned_.scale, WeightTensor::Role::kScale, /*trains=*/true});
    }
    if (learned_.zero.defined()) {
      states.push_back({kZero, learned_.zero, WeightTensor::Role::kScale, /*trains=*/false});
    }
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return RealOrThrow()->Dequantize();
  }
  at::Tensor Matrix() const override {
    const at::Tensor around =
        learns() ? grid_->FromBasis(Values()) : base_->Matrix().to(at::kFloat);
    const at::Tensor rounded = Dequantize();
    return around.requires_grad() ? around + (rounded - around.detach()) : rounded;
  }
  double NonZero() const override {
    const at::NoGradGuard no_grad;
    return RealOrThrow()->NonZero();
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    // Where the real format cannot be cut, this one cannot.
    WANLITE_RETURN_IF_ERROR(shell_->Select(dim, index).status());
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    WANLITE_RETURN_IF_ERROR(
        format_->quantizer->CheckShape(base->out_features(), base->in_features()));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      const auto cut = [&](const at::Tensor& scale) {
        if (!scale.defined()) return scale;
        if (dim == 0) return SelectFrom(scale, 0, index);
        const int64_t group = grid_->group();
        if (group == 0) return CopyOf(scale);
        const at::Tensor first = index.slice(0, 0, index.numel(), group);
        return SelectFrom(scale, 1, at::floor_divide(first, group));
      };
      return std::make_unique<FakeQuantWeight>(
          std::move(base), format_, GroupScales{cut(learned_.scale), cut(learned_.zero)});
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<FakeQuantWeight>(std::move(base), format_, learned_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    if (IsHollowWeight(*this)) {
      return format_->quantizer->Hollow(out_features(), in_features());
    }
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      if (learns() && !(learned_.scale.isfinite().all().item<bool>() &&
                        base_->Matrix().isfinite().all().item<bool>())) {
        return absl::InvalidArgumentError(
            "the trained weight holds a NaN or an infinity, or a scale that is one");
      }
      return Real();
    });
  }

 private:
  bool learns() const { return learned_.scale.defined(); }
  int64_t groups() const { return grid_->group() == 0 ? 1 : in_features() / grid_->group(); }
  at::Tensor InBasis() const { return grid_->ToBasis(base_->Matrix().to(at::kFloat)); }
  // One row for each row of ByGroups(); its magnitude counts.
  GroupScales ScaleRows() const {
    GroupScales rows{learned_.scale.abs().reshape({-1, 1}), {}};
    if (learned_.zero.defined()) rows.zero = learned_.zero.reshape({-1, 1});
    return rows;
  }

  // The weight in its real format, without gradients.
  absl::StatusOr<std::unique_ptr<LinearWeight>> Real() const {
    if (!learns()) return format_->quantizer->Quantize(base_->Matrix(), nullptr);
    const at::Tensor wanted = InBasis();
    const GroupScales rows = grid_->Nearest(ScaleRows());
    const at::Tensor rounded = grid_->Round(ByGroups(wanted, groups()), rows);
    const auto whole = [&](const at::Tensor& scale) {
      return scale.defined() ? scale.reshape(learned_.scale.sizes()) : scale;
    };
    return grid_->Pack(rounded.reshape(wanted.sizes()), {whole(rows.scale), whole(rows.zero)},
                       nullptr);
  }
  std::unique_ptr<LinearWeight> RealOrThrow() const {
    absl::StatusOr<std::unique_ptr<LinearWeight>> real = Real();
    TORCH_CHECK(real.ok(), std::string(real.status().message()));
    return *std::move(real);
  }

  // The matrix in the basis, with the gradients of what it is rounded to. Its numbers are those
  // only where scales are learned.
  at::Tensor Values() const {
    const at::Tensor wanted = InBasis();
    if (!learns()) return wanted;
    const at::Tensor rows = ByGroups(wanted, groups());
    const GroupScales scales = ScaleRows();
    at::Tensor codes, ratio, inside, share;
    {
      const at::NoGradGuard no_grad;
      // As the format stores it; straight through that too.
      const GroupScales fixed = grid_->Nearest({scales.scale.detach(), scales.zero});
      const at::Tensor& scale = fixed.scale;
      const at::Tensor divisor = DivisorOf(scale);
      codes = grid_->Round(rows.detach(), fixed) / divisor;
      ratio = rows.detach() / divisor;
      // What is beyond the grid is clipped.
      const auto end = [&](double value) {
        return grid_->Round(at::full_like(scale, value), fixed);
      };
      constexpr double kFar = std::numeric_limits<float>::max() / 4;
      const at::Tensor low = end(-kFar), high = end(kFar);
      inside = ((rows >= low) & (rows <= high)).to(at::kFloat);
      // LSQ: the gradient of a scale is made smaller by the number of weights that share it.
      const at::Tensor limit = at::maximum(high, -low) / divisor;
      share = (limit * static_cast<double>(rows.size(1))).clamp_min_(1).rsqrt_();
    }
    const at::Tensor damped = scales.scale * share;
    const at::Tensor scale = damped + (scales.scale - damped).detach();
    return (scale * (codes - inside * ratio) + inside * rows).reshape(wanted.sizes());
  }

  std::unique_ptr<LinearWeight> base_;
  std::shared_ptr<const FakeFormat> format_;
  std::shared_ptr<const WeightGrid> grid_;
  std::unique_ptr<LinearWeight> shell_;  // the real format, hollow
  GroupScales learned_;
};

// InvalidArgument for a layer or a format that is not for training.
absl::Status CheckFakeQuant(const LinearWeight* base, const FakeFormat& format,
                            bool learned_scale) {
  WANLITE_RETURN_IF_ERROR(CheckBase("fake_quant", base, {kLearnedScale, kZero}));
  const WeightQuantizer& quantizer = *format.quantizer;
  WANLITE_RETURN_IF_ERROR(quantizer.CheckShape(base->out_features(), base->in_features()));
  const std::unique_ptr<WeightGrid> grid = quantizer.Grid(base->in_features(), kSomeLargest);
  if (grid == nullptr || quantizer.needs_statistics()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the format ", quantizer.name(), " cannot be trained: ",
        grid == nullptr ? "it has no grid of values" : "it needs ranges of recorded inputs"));
  }
  if (learned_scale && !grid->free_scales()) {
    return absl::InvalidArgumentError(absl::StrCat("the scales of the format ", quantizer.name(),
                                                   " cannot be learned: they are rounded"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFakeQuantWeight(
    std::unique_ptr<LinearWeight> base, absl::string_view format, bool learned_scale) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FakeFormat> parsed, ParseFakeFormat(format));
  WANLITE_RETURN_IF_ERROR(CheckFakeQuant(base.get(), *parsed, learned_scale));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    GroupScales learned;
    if (learned_scale) {
      const at::NoGradGuard no_grad;
      const std::unique_ptr<WeightGrid> grid =
          parsed->quantizer->Grid(base->in_features(), kSomeLargest);
      const int64_t groups = grid->group() == 0 ? 1 : base->in_features() / grid->group();
      const std::vector<int64_t> shape = {base->out_features(), groups};
      if (IsHollowWeight(*base)) {
        const nn::HollowGuard hollow;
        learned.scale = nn::NewTensor(shape);
        if (grid->Fit(at::zeros({1, 1})).zero.defined()) learned.zero = nn::NewTensor(shape);
      } else {
        const at::Tensor matrix = grid->ToBasis(base->Matrix().to(at::kFloat));
        const GroupScales fitted = grid->Fit(ByGroups(matrix, groups));
        learned.scale = fitted.scale.reshape(shape).contiguous();
        if (fitted.zero.defined()) {
          learned.zero = fitted.zero.to(at::kFloat).reshape(shape).contiguous();
        }
      }
    }
    return std::make_unique<FakeQuantWeight>(std::move(base), parsed, std::move(learned));
  });
}

absl::StatusOr<std::unique_ptr<LinearWeight>> FakeQuantWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a fake_quant weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"base", "format", "learned_scale"}));
  std::string text;
  WANLITE_RETURN_IF_ERROR(attributes.String({"format"}, text));
  bool learned_scale = false;
  WANLITE_RETURN_IF_ERROR(attributes.Bool({"learned_scale"}, learned_scale));
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FakeFormat> format, ParseFakeFormat(text));
  if (!learned_scale) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                             BaseFromState(attributes, state, {}, formats));
    WANLITE_RETURN_IF_ERROR(CheckFakeQuant(base.get(), *format, learned_scale));
    return std::make_unique<FakeQuantWeight>(std::move(base), format, GroupScales());
  }
  const bool has_zero = state.contains(kZero);
  std::unique_ptr<LinearWeight> base;
  if (has_zero) {
    WANLITE_ASSIGN_OR_RETURN(base,
                             BaseFromState(attributes, state, {kLearnedScale, kZero}, formats));
  } else {
    WANLITE_ASSIGN_OR_RETURN(base, BaseFromState(attributes, state, {kLearnedScale}, formats));
  }
  WANLITE_RETURN_IF_ERROR(CheckFakeQuant(base.get(), *format, learned_scale));
  const std::unique_ptr<WeightGrid> grid =
      format->quantizer->Grid(base->in_features(), kSomeLargest);
  if (has_zero != grid->Fit(at::zeros({1, 1})).zero.defined()) {
    return absl::InvalidArgumentError(absl::StrCat("a fake_quant weight of format ",
                                                   format->quantizer->name(), " has ",
                                                   has_zero ? "no" : "a", " tensor ", kZero));
  }
  const int64_t groups = grid->group() == 0 ? 1 : base->in_features() / grid->group();
  GroupScales learned{state.at(kLearnedScale), has_zero ? state.at(kZero) : at::Tensor()};
  const auto check = [&](const char* name, const at::Tensor& tensor) -> absl::Status {
    if (tensor.scalar_type() == at::kFloat && tensor.dim() == 2 &&
        tensor.size(0) == base->out_features() && tensor.size(1) == groups) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        name, " must be fp32 [", base->out_features(), ", ", groups, "], found ",
        DtypeName(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "), "]"));
  };
  WANLITE_RETURN_IF_ERROR(check(kLearnedScale, learned.scale));
  if (has_zero) WANLITE_RETURN_IF_ERROR(check(kZero, learned.zero));
  return std::make_unique<FakeQuantWeight>(std::move(base), format, std::move(learned));
}

}  // namespace wanlite
