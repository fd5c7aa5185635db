// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// What holds for every format that passes quantize to.

#include "wanlite/weight_formats.h"

#include <google/protobuf/text_format.h>

#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/proto/quant.pb.h"
#include "src/quant/quantize_weights.h"
#include "src/quant/weight_fp8.h"
#include "src/quant/weight_int4.h"
#include "src/quant/weight_int8.h"
#include "src/quant/weight_int8_static.h"
#include "src/quant/weight_nvfp4.h"
#include "src/quant/weight_quantizer.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::MapSource;
using testing::PassResult;
using testing::RunBlockPass;
using testing::ToyComponent;
using testing::ToyModel;

struct QuantKind {
  const char* format;  // LinearFormat as text
  // Of normal weights: relative error of the matrix, from ... to.
  double least, most;
  // Relative error of the product for normal inputs against the product with Dequantize(): that of
  // rounding the inputs, or of sums in fp32.
  double product;
  int64_t group;     // columns are cut in these; 1: anywhere
  double half_step;  // the largest rounding, in scales
};

const std::vector<QuantKind>& QuantKinds() {
  static const std::vector<QuantKind> kinds = {
      {"int8 {}", 0.004, 0.010, 0.02, 1, 0.51},
      {"int8 { rotation: CONVROT rotation_group: 16 }", 0.004, 0.010, 0.02, 16, 0.51},
      {"int8 { activations: STATIC }", 0.004, 0.010, 0.03, 1, 0.51},
      {"int8 { activations: STATIC rotation: CONVROT rotation_group: 16 }", 0.004, 0.010, 0.03, 16,
       0.51},
      {"int8 { activations: FLOAT }", 0.004, 0.010, 1e-6, 1, 0.51},
      {"int8 { activations: FLOAT rotation: CONVROT rotation_group: 16 }", 0.004, 0.010, 1e-6, 16,
       0.51},
      {"fp8 {}", 0.02, 0.03, 0.04, 1, 16.1},
      {"fp8 { activations: FLOAT }", 0.02, 0.03, 1e-6, 1, 16.1},
      // A scale may be off by a 256th: codes at the end of the range by a little more than half.
      {"int4 { group: 16 }", 0.06, 0.10, 1e-6, 16, 0.53},
      {"int4 { group: 16 zero_point: true }", 0.04, 0.09, 1e-6, 16, 0.53},
      {"int4 { group: 16 activations: INT8 }", 0.06, 0.10, 0.02, 16, 0.53},
      {"int4 { group: 16 zero_point: true activations: INT8 }", 0.04, 0.09, 0.02, 16, 0.53},
      {"int4 { group: 32 activations: SAME }", 0.07, 0.11, 0.13, 32, 0.53},
      // The e4m3 scale is off by up to a 16th.
      {"int4 { codes: NVFP4 }", 0.07, 0.11, 1e-6, 16, 1.4},
      {"int4 { codes: NVFP4 activations: SAME }", 0.07, 0.11, 0.13, 16, 1.4},
  };
  return kinds;
}

at::Tensor Normal(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

std::unique_ptr<WeightQuantizer> MakeQuantizer(const std::string& text) {
  LinearFormat format;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
  auto quantizer = MakeWeightQuantizer(format, "format");
  REQUIRE_OK(quantizer);
  return *std::move(quantizer);
}

InputStatistics WithRange(double range) {
  InputStatistics statistics;
  statistics.range = range;
  return statistics;
}

// Of normal inputs.
const InputStatistics& NormalInputs() {
  static const InputStatistics statistics = WithRange(4);
  return statistics;
}

std::unique_ptr<LinearWeight> Quantized(const WeightQuantizer& quantizer, const at::Tensor& dense,
                                        QuantizationError* error = nullptr) {
  auto weight = quantizer.Quantize(dense, &NormalInputs(), error);
  REQUIRE_OK(weight);
  return *std::move(weight);
}

WeightFormatRegistry QuantFormats() {
  WeightFormatRegistry formats;
  REQUIRE_OK(formats.Register("int8", Int8WeightFromState));
  REQUIRE_OK(formats.Register("int8_static", Int8StaticFromState));
  REQUIRE_OK(formats.Register("int8_weight_only", Int8WeightOnlyFromState));
  REQUIRE_OK(formats.Register("fp8", Fp8WeightFromState));
  REQUIRE_OK(formats.Register("int4", Int4WeightFromState));
  REQUIRE_OK(formats.Register("nvfp4", Nvfp4WeightFromState));
  return formats;
}

WeightState TensorsOf(const LinearWeight& weight) {
  WeightState state;
  for (const WeightTensor& part : weight.State()) state[part.name] = part.tensor;
  return state;
}

// LibTorch compares no fp8.
bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  const auto bits = [](const at::Tensor& t) {
    return t.scalar_type() == at::kFloat8_e4m3fn ? t.view(at::kByte) : t;
  };
  return a.dtype() == b.dtype() && at::equal(bits(a), bits(b));
}

bool SameWeights(const LinearWeight& a, const LinearWeight& b) {
  const WeightState left = TensorsOf(a), right = TensorsOf(b);
  bool same =
      left.size() == right.size() && a.format() == b.format() && a.attributes() == b.attributes();
  for (const auto& [name, tensor] : left) {
    same = same && right.count(name) == 1 && SameBits(tensor, right.at(name));
  }
  return same;
}

double RelativeError(const at::Tensor& found, const at::Tensor& wanted) {
  return (found - wanted).norm().item<double>() / wanted.norm().item<double>();
}

std::shared_ptr<ToyModel> WideToy(uint64_t seed) {
  auto model = std::make_shared<ToyModel>(32, 64);
  model->Randomize(seed);
  return model;
}

ModelView ViewOf(std::shared_ptr<ToyModel> model) {
  auto view = ModelView::Create({ToyComponent(std::move(model))});
  REQUIRE_OK(view);
  return *std::move(view);
}

std::unique_ptr<Pass> PassOf(const std::string& text) {
  LinearFormat format;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
  auto pass = format.has_int8()   ? MakeQuantizeInt8(format.int8())
              : format.has_fp8()  ? MakeQuantizeFp8(format.fp8())
              : format.has_cast() ? MakeCast(format.cast())
                                  : MakeQuantizeInt4(format.int4());
  REQUIRE_OK(pass);
  return *std::move(pass);
}

}  // namespace

TEST_CASE("a format keeps weights within its band, neither better nor worse", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto quantizer = MakeQuantizer(kind.format);
    const at::Tensor dense = Normal({64, 256}, 1) * 0.05;
    QuantizationError error;
    const at::Tensor before = dense.clone();
    const auto weight = Quantized(*quantizer, dense, &error);
    CHECK(at::equal(dense, before));
    const double relative = RelativeError(weight->Dequantize(), dense);
    CHECK(relative > kind.least);
    CHECK(relative < kind.most);
    CHECK(error.Relative() == Approx(relative).epsilon(1e-4));
    CHECK(weight->in_features() == 256);
    CHECK(weight->out_features() == 64);
    CHECK(weight->dense() == nullptr);
    for (const WeightTensor& part : weight->State()) CHECK_FALSE(part.trains);
    CHECK(weight->State()[0].name == "weight");
    // Half precision is quantized from its exact values.
    CHECK(SameWeights(*Quantized(*quantizer, dense.to(at::kBFloat16)),
                      *Quantized(*quantizer, dense.to(at::kBFloat16).to(at::kFloat))));
  }
}

TEST_CASE("a quantized weight multiplies by the matrix it stands for", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto weight = Quantized(*MakeQuantizer(kind.format), Normal({48, 128}, 2));
    const at::Tensor bias = Normal({48}, 3);
    const at::Tensor x = Normal({2, 5, 128}, 4);
    const at::Tensor exact = at::linear(x, weight->Dequantize(), bias);
    const double error = RelativeError(weight->Apply(x, bias), exact);
    CHECK(error < kind.product);
    if (kind.product > 1e-5) CHECK(error > 0.1 * kind.product);
    CHECK(RelativeError(weight->Apply(x, std::nullopt), exact - bias) < kind.product);
    const at::Tensor half = weight->Apply(x.to(at::kBFloat16), bias);
    CHECK(half.scalar_type() == at::kBFloat16);
    CHECK(RelativeError(half.to(at::kFloat), exact) < kind.product + 0.01);
    // The input shared by its form gives the same bits.
    if (const InputForm* form = weight->input_form(); form != nullptr) {
      const Activation shared(x);
      shared.In(*form);
      CHECK(at::equal(weight->Apply(shared, bias), weight->Apply(x, bias)));
      CHECK_FALSE(weight->reads_dense_input());
    }
    CHECK_THROWS(weight->Apply(Normal({2, 64}, 5), bias));
  }
}

TEST_CASE("a weight comes back from its state, and bad states are refused", "[formats]") {
  const WeightFormatRegistry formats = QuantFormats();
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto weight = Quantized(*MakeQuantizer(kind.format), Normal({8, 64}, 6));
    const std::string format(weight->format());
    const WeightState good = TensorsOf(*weight);
    ASSERT_OK_AND_ASSIGN(const auto again, formats.Build(format, good, weight->attributes()));
    CHECK(SameWeights(*again, *weight));
    ASSERT_OK_AND_ASSIGN(const auto shared, weight->Share());
    CHECK(SameWeights(*shared, *weight));
    const auto refused = [&](const WeightState& state, const std::string& attributes) {
      const auto built = formats.Build(format, state, attributes);
      return built.status().code() == absl::StatusCode::kInvalidArgument;
    };
    const auto twice = [](const at::Tensor& t, int64_t dim) {
      const bool fp8 = t.scalar_type() == at::kFloat8_e4m3fn;
      const at::Tensor bits = fp8 ? t.view(at::kByte) : t;
      const at::Tensor more = at::cat({bits, bits, bits}, dim);
      return fp8 ? more.view(at::kFloat8_e4m3fn) : more;
    };
    for (const auto& [name, tensor] : good) {
      INFO(name);
      WeightState bad = good;
      bad.erase(name);
      // A zero point may be absent.
      CHECK((name == "weight_zero" || refused(bad, weight->attributes())));
      bad[name] = at::Tensor();
      CHECK(refused(bad, weight->attributes()));
      bad[name] = tensor.to(at::kFloat).to(at::kDouble);
      CHECK(refused(bad, weight->attributes()));
      bad[name] = tensor.unsqueeze(0);
      CHECK(refused(bad, weight->attributes()));
      bad[name] = twice(tensor, 0);
      CHECK(refused(bad, weight->attributes()));
      if (name == "weight") continue;  // of another width it is another weight
      bad[name] = twice(tensor, tensor.dim() - 1);
      CHECK(refused(bad, weight->attributes()));
      bad[name] = tensor.slice(tensor.dim() - 1, 0, 0);
      CHECK(refused(bad, weight->attributes()));
    }
    WeightState more = good;
    more["extra"] = at::ones({1});
    CHECK(refused(more, weight->attributes()));
    for (const char* attributes : {"", "[]", "{\"x\":1}", "{\"activations\":\"int9\"}",
                                   "{\"activations\":8}", "{\"rotation\":\"convrot\"}"}) {
      INFO(attributes);
      CHECK(refused(good, attributes));
    }
  }
}

TEST_CASE("a hollow weight has the shapes of the real one, and sees what is loaded", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto quantizer = MakeQuantizer(kind.format);
    const auto real = Quantized(*quantizer, Normal({24, 128}, 7));
    const auto hollow = quantizer->Hollow(24, 128);
    CHECK(hollow->attributes() == real->attributes());
    CHECK(hollow->bytes() == real->bytes());
    CHECK(hollow->arithmetic().input_ops == real->arithmetic().input_ops);
    const WeightState values = TensorsOf(*real);
    REQUIRE(TensorsOf(*hollow).size() == values.size());
    for (const WeightTensor& part : hollow->State()) {
      INFO(part.name);
      CHECK(nn::IsHollow(part.tensor));
      CHECK(part.tensor.sizes() == values.at(part.name).sizes());
      CHECK(part.tensor.dtype() == values.at(part.name).dtype());
    }
    ASSERT_OK_AND_ASSIGN(const auto cut, hollow->Select(1, at::arange(32, 96)));
    CHECK(nn::IsHollow(cut->State()[0].tensor));
    CHECK(cut->in_features() == 64);
    for (const WeightTensor& part : hollow->State()) part.tensor.set_data(values.at(part.name));
    CHECK(SameWeights(*hollow, *real));
  }
}

TEST_CASE("rows and whole groups of columns are cut out with their values", "[formats]") {
  const at::Tensor rows = at::tensor({4, 0, 5}, at::kLong);
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto weight = Quantized(*MakeQuantizer(kind.format), Normal({6, 128}, 8));
    const at::Tensor matrix = weight->Dequantize();
    ASSERT_OK_AND_ASSIGN(const auto some_rows, weight->Select(0, rows));
    CHECK(at::equal(some_rows->Dequantize(), matrix.index_select(0, rows)));
    const at::Tensor columns = at::cat({at::arange(96, 128), at::arange(0, 32)});
    ASSERT_OK_AND_ASSIGN(const auto some_columns, weight->Select(1, columns));
    CHECK(at::allclose(some_columns->Dequantize(), matrix.index_select(1, columns), 0, 1e-6));
    CHECK(some_columns->attributes() == weight->attributes());
    CHECK(some_columns->format() == weight->format());
    CHECK_FALSE(weight->Select(2, rows).ok());
    CHECK_FALSE(weight->Select(0, at::tensor({9}, at::kLong)).ok());
    const auto split = weight->Select(1, at::arange(8, 40));
    CHECK(split.ok() == (kind.group == 1));
    if (kind.group > 1) {
      CHECK(split.status().code() == absl::StatusCode::kUnimplemented);
      CHECK_THAT(std::string(split.status().message()),
                 Contains(absl::StrCat("groups of ", kind.group)));
    }
  }
}

TEST_CASE("gradients pass a frozen quantized weight to its input and bias", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto weight = Quantized(*MakeQuantizer(kind.format), Normal({12, 64}, 9));
    at::Tensor x = Normal({2, 3, 64}, 10).requires_grad_(true);
    at::Tensor bias = Normal({12}, 11).requires_grad_(true);
    const at::Tensor y = weight->Apply(x, bias);
    CHECK(at::equal(y, weight->Apply(x.detach(), bias.detach())));
    const at::Tensor dy = Normal({2, 3, 12}, 12);
    const auto gradients = torch::autograd::grad({y}, {x, bias}, {dy});
    CHECK(RelativeError(gradients[0], dy.matmul(weight->Dequantize())) < 1e-5);
    CHECK(RelativeError(gradients[1], dy.flatten(0, 1).sum(0)) < 1e-5);
    const at::Tensor only_bias = weight->Apply(x.detach(), bias);
    CHECK(at::equal(torch::autograd::grad({only_bias}, {bias}, {dy})[0], gradients[1]));
  }
}

TEST_CASE("what a format cannot hold is refused by row", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto quantizer = MakeQuantizer(kind.format);
    at::Tensor dense = Normal({5, 64}, 13);
    dense[2].zero_();
    CHECK(Quantized(*quantizer, dense)->Dequantize()[2].count_nonzero().item<int64_t>() == 0);
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      dense[3][17] = bad;
      const auto refused = quantizer->Quantize(dense, &NormalInputs());
      CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
      CHECK_THAT(std::string(refused.status().message()), Contains("NaN or an infinity in row 3"));
    }
    // The largest and the smallest that fp32 has: given back finite, or refused.
    for (const float size : {3.4e38f, 1e37f, 1e-37f, 1e-44f}) {
      const auto weight = quantizer->Quantize(at::full({2, 64}, size), &NormalInputs());
      if (!weight.ok()) {
        CHECK_THAT(std::string(weight.status().message()), Contains("in row 0"));
        CHECK(size > 1e37f);
        continue;
      }
      CHECK((*weight)->Dequantize().isfinite().all().item<bool>());
      CHECK((*weight)->Apply(at::ones({1, 64}), std::nullopt).isnan().any().item<bool>() == false);
    }
  }
}

TEST_CASE("a grid's steps make what the quantizer makes", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    const auto quantizer = MakeQuantizer(kind.format);
    const at::Tensor dense = Normal({10, 128}, 14);
    const auto grid = quantizer->Grid(128, dense.abs().max().item<double>());
    REQUIRE(grid != nullptr);
    const at::Tensor basis = grid->ToBasis(dense);
    const int64_t group = grid->group() == 0 ? 128 : grid->group();
    for (const double clip : {1.0, 0.6}) {
      INFO("clip " << clip);
      std::vector<at::Tensor> rounded, scale, zero;
      for (int64_t begin = 0; begin < 128; begin += group) {
        const at::Tensor columns = basis.slice(1, begin, begin + group);
        const GroupScales scales = grid->Fit(columns, clip);
        const GroupScales nearest = grid->Nearest(scales);
        CHECK(at::equal(nearest.scale, scales.scale));
        const at::Tensor part = grid->Round(columns, scales);
        // Values of the grid stay, and nothing that is kept moves by more than half a step.
        CHECK(at::equal(grid->Round(part, scales), part));
        if (clip == 1) {
          CHECK(((part - columns).abs() <= scales.scale * kind.half_step).all().item<bool>());
        } else {
          CHECK(((part - columns).abs() > scales.scale * kind.half_step).any().item<bool>());
        }
        rounded.push_back(part);
        scale.push_back(scales.scale);
        if (scales.zero.defined()) zero.push_back(scales.zero);
      }
      GroupScales all{at::cat(scale, 1), zero.empty() ? at::Tensor() : at::cat(zero, 1)};
      ASSERT_OK_AND_ASSIGN(const auto packed,
                           grid->Pack(at::cat(rounded, 1), all, &NormalInputs()));
      CHECK(at::allclose(grid->ToBasis(packed->Dequantize()), at::cat(rounded, 1), 0, 1e-6));
      if (clip == 1) CHECK(SameWeights(*packed, *Quantized(*quantizer, dense)));
      if (quantizer->needs_statistics()) continue;
      // What the weight reads of its input is what the grid says.
      const at::Tensor x = Normal({7, 128}, 20);
      CHECK(RelativeError(packed->Apply(x, std::nullopt),
                          grid->RoundInput(x).matmul(at::cat(rounded, 1).t())) < 1e-5);
    }
  }
}

TEST_CASE("a format's pass does what its plan says, and leaves the rest alone", "[formats]") {
  for (const QuantKind& kind : QuantKinds()) {
    INFO(kind.format);
    if (MakeQuantizer(kind.format)->needs_statistics()) continue;
    const auto pass = PassOf(kind.format);
    ModelView hollow = [] {
      const nn::HollowGuard guard;
      return ViewOf(std::make_shared<ToyModel>(32, 64));
    }();
    REQUIRE_OK(pass->Plan(hollow));
    REQUIRE_OK(pass->ApplyPlan(hollow, nullptr));
    ModelView real = ViewOf(WideToy(15));
    const auto source = std::make_shared<MapSource>(real.Tensors());
    ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, real));
    CHECK(DumpModel(hollow) == DumpModel(real));
    CHECK(result.metrics.at("quantized_layers") == 6);
    CHECK(result.metrics.at("mean_relative_error") > kind.least);
    CHECK(result.metrics.at("mean_relative_error") < kind.most);
    for (const LinearInfo& linear : real.linears()) {
      const std::string name = linear.path + ".weight";
      if (linear.sensitive) CHECK(at::equal(result.tensors.at(name), *source->Read(name)));
    }
    // Streamed, a block at a time, it makes the same bytes.
    ModelView streamed = [] {
      const nn::HollowGuard guard;
      return ViewOf(std::make_shared<ToyModel>(32, 64));
    }();
    streamed.AttachSource(source);
    ASSERT_OK_AND_ASSIGN(const PassResult again, RunBlockPass(*pass, streamed));
    CHECK(again.metrics == result.metrics);
    for (const auto& [name, tensor] : result.tensors) {
      INFO(name);
      CHECK(SameBits(tensor, again.tensors.at(name)));
    }
  }
}

TEST_CASE("a static weight takes a positive, finite range, and shares inputs of equal scales",
          "[formats]") {
  const auto quantizer = MakeQuantizer("int8 { activations: STATIC }");
  CHECK(quantizer->needs_statistics());
  const at::Tensor dense = Normal({8, 64}, 18);
  CHECK_THAT(std::string(quantizer->Quantize(dense, nullptr).status().message()),
             Contains("recorded inputs"));
  for (const double range : {0.0, -1.0, HUGE_VAL, std::nan("")}) {
    const InputStatistics bad = WithRange(range);
    CHECK(quantizer->Quantize(dense, &bad).status().code() == absl::StatusCode::kInvalidArgument);
  }
  const auto with_range = [&](double range) {
    const InputStatistics statistics = WithRange(range);
    auto weight = quantizer->Quantize(dense, &statistics);
    REQUIRE_OK(weight);
    return *std::move(weight);
  };
  const auto a = with_range(3), b = with_range(3), c = with_range(4);
  CHECK(a->input_form()->key() == b->input_form()->key());
  CHECK(a->input_form()->key() != c->input_form()->key());
  CHECK(a->input_form()->key() != quantizer->Hollow(8, 64)->input_form()->key());
  // Inputs are clamped to the range, and equal dynamic ones where that is their largest.
  at::Tensor x = Normal({1, 64}, 19).clamp(-3, 3);
  x[0][5] = 3;
  CHECK(at::equal(a->Apply(x, std::nullopt),
                  Quantized(*MakeQuantizer("int8 {}"), dense)->Apply(x, std::nullopt)));
  x[0][7] = 30;
  at::Tensor clamped = x.clamp(-3, 3);
  CHECK(at::equal(a->Apply(x, std::nullopt), a->Apply(clamped, std::nullopt)));
  x[0][7] = std::nan("");
  CHECK(a->Apply(x, std::nullopt).isnan().all().item<bool>());
  // Packed for the machine it gives the same bits.
  const auto packed = a->Packed();
  REQUIRE(packed != nullptr);
  CHECK(at::equal(packed->Apply(clamped, std::nullopt), a->Apply(clamped, std::nullopt)));
}

TEST_CASE("cast keeps what the dtype holds, and refuses by name and row what it does not",
          "[formats]") {
  const std::pair<const char*, at::ScalarType> kinds[] = {{"cast { dtype: BF16 }", at::kBFloat16},
                                                          {"cast { dtype: FP16 }", at::kHalf},
                                                          {"cast { dtype: FP32 }", at::kFloat}};
  for (const auto& [text, dtype] : kinds) {
    INFO(text);
    const auto pass = PassOf(text);
    ModelView hollow = [] {
      const nn::HollowGuard guard;
      return ViewOf(std::make_shared<ToyModel>(32, 64));
    }();
    REQUIRE_OK(pass->Plan(hollow));
    REQUIRE_OK(pass->ApplyPlan(hollow, nullptr));
    ModelView real = ViewOf(WideToy(15));
    std::map<std::string, at::Tensor> before;
    for (const NamedTensor& named : real.Tensors()) before[named.name] = named.tensor.clone();
    ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, real));
    CHECK(DumpModel(hollow) == DumpModel(real));
    for (const LinearInfo& linear : real.linears()) {
      const std::string name = linear.path + ".weight";
      CHECK(at::equal(result.tensors.at(name),
                      linear.sensitive ? before.at(name) : before.at(name).to(dtype)));
    }
  }
  auto model = WideToy(15);
  {
    const at::NoGradGuard no_grad;
    model->blocks[1]->gate->weight().State()[0].tensor[2][5] = 1e5f;
  }
  ModelView view = ViewOf(model);
  const auto refused = RunBlockPass(*PassOf("cast { dtype: FP16 }"), view);
  CHECK_THAT(std::string(refused.status().message()), Contains("toy.blocks.1.gate.weight") &&
                                                          Contains("too large for fp16") &&
                                                          Contains("row 2"));
  CHECK_THAT(std::string(MakeCast({}).status().message()), Contains("dtype"));
  CHECK(MakeQuantizer("cast { dtype: BF16 }")->Grid(32, 1) == nullptr);
}

TEST_CASE("a plan refuses layers that the group does not divide, by name", "[formats]") {
  for (const char* format : {"int4 {}", "int4 { activations: INT8 }"}) {
    ModelView view = ViewOf(WideToy(16));
    const auto plan = PassOf(format)->Plan(view);
    CHECK(plan.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(plan.status().message()),
               Contains("toy.blocks.0.up.weight") && Contains("64") && Contains("32"));
  }
}

TEST_CASE("options of quantize-int4 are resolved, and bad ones refused by field", "[formats]") {
  CHECK(static_cast<const QuantizeInt4Options&>(PassOf("int4 {}")->options()).group() == 64);
  CHECK(std::string(PassOf("int4 {}")->name()) == "quantize-int4");
  const std::pair<const char*, const char*> bad[] = {
      {"group: 0", "group"},
      {"group: -2", "group"},
      {"group: 7", "group"},
      {"codes: NVFP4 group: 32", "group"},
      {"codes: NVFP4 zero_point: true", "zero_point"},
      {"codes: NVFP4 activations: INT8", "activations"}};
  for (const auto& [text, field] : bad) {
    INFO(text);
    QuantizeInt4Options options;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &options));
    const auto pass = MakeQuantizeInt4(options);
    CHECK(pass.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(pass.status().message()), Contains(field));
  }
  LinearFormat format;
  format.mutable_int4()->mutable_linears()->add_include("*");
  CHECK_THAT(std::string(MakeWeightQuantizer(format, "here").status().message()),
             Contains("here.int4.linears"));
  CHECK(MakeQuantizer("int4 { group: 32 zero_point: true activations: SAME }")->name() ==
        "int4 g32 zero w4a4");
  for (const char* simulated : {"int4 { activations: SAME group: 16 }", "fp8 {}",
                                "int4 { codes: NVFP4 activations: SAME }"}) {
    INFO(simulated);
    ASSERT_OK_AND_ASSIGN(const PassNotes plan, PassOf(simulated)->Plan(ViewOf(WideToy(1))));
    REQUIRE(plan.notes.size() == 1);
    CHECK_THAT(plan.notes[0], Contains("simulated"));
    CHECK(PassOf(simulated)->Explain(nullptr) == plan.notes);
  }
  for (const char* real :
       {"int8 {}", "int4 { activations: INT8 group: 16 }", "int4 { group: 16 }"}) {
    ASSERT_OK_AND_ASSIGN(const PassNotes plan, PassOf(real)->Plan(ViewOf(WideToy(1))));
    CHECK(plan.notes.empty());
    CHECK(PassOf(real)->Explain(nullptr).empty());
  }
}

TEST_CASE("NVFP4 has a grid for a matrix whose largest value is known", "[formats]") {
  const auto quantizer = MakeQuantizer("int4 { codes: NVFP4 }");
  CHECK(quantizer->Grid(64) == nullptr);
  CHECK(quantizer->Grid(64, 0) != nullptr);
  CHECK_FALSE(quantizer->Grid(64, 1)->free_scales());
}

TEST_CASE("scales that int4 does not store are refused", "[formats]") {
  const auto quantizer = MakeQuantizer("int4 { group: 16 }");
  const auto grid = quantizer->Grid(16, 1);
  const GroupScales odd{at::full({2, 1}, 0.1003f), {}};
  const GroupScales nearest = grid->Nearest(odd);
  const at::Tensor w = Normal({2, 16}, 17) * 0.2;
  CHECK(grid->Pack(grid->Round(w, odd), odd, nullptr).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(RelativeError(nearest.scale, odd.scale) < 0.004);
  REQUIRE_OK(grid->Pack(grid->Round(w, nearest), nearest, nullptr));
}

}  // namespace wanlite
