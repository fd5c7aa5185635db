// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <limits>
#include <new>
#include <set>
#include <utility>

#include "src/core/libtorch.h"
#include "wanlite/linear_tap.h"
#include "wanlite/nn.h"

namespace wanlite::nn {
namespace {

thread_local bool hollow_mode = false;

// Marks the storage of hollow tensors: no other storage is freed by this function.
void FreeHollowElement(void* element) { ::operator delete(element); }

at::Tensor NewHollow(at::IntArrayRef shape, at::ScalarType dtype) {
  at::NoGradGuard no_grad;
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  // Without values nothing is missing.
  if (numel == 0) return at::empty(shape, at::TensorOptions().dtype(dtype));
  const size_t bytes = c10::elementSize(dtype);
  void* element = ::operator new(bytes);
  c10::Storage storage(c10::Storage::use_byte_size_t(), bytes,
                       c10::DataPtr(element, element, &FreeHollowElement, at::kCPU),
                       /*allocator=*/nullptr, /*resizable=*/false);
  const at::Tensor one = at::empty({0}, at::TensorOptions().dtype(dtype));
  one.set_(std::move(storage), 0, {1}, {1});
  if (at::isFloatingType(dtype)) {
    one.fill_(std::numeric_limits<double>::quiet_NaN());
  } else {
    one.zero_();
  }
  const std::vector<int64_t> strides(shape.size(), 0);
  return one.as_strided(shape, strides).detach();
}

}  // namespace

HollowGuard::HollowGuard() : previous_(hollow_mode) { hollow_mode = true; }
HollowGuard::~HollowGuard() { hollow_mode = previous_; }

at::Tensor NewTensor(at::IntArrayRef shape, at::ScalarType dtype) {
  return hollow_mode ? NewHollow(shape, dtype) : at::empty(shape, at::TensorOptions().dtype(dtype));
}

at::Tensor HollowLike(const at::Tensor& tensor) {
  return NewHollow(tensor.sizes(), tensor.scalar_type());
}

bool IsHollow(const at::Tensor& tensor) {
  return tensor.defined() && tensor.has_storage() &&
         tensor.storage().data_ptr().get_deleter() == &FreeHollowElement;
}

Linear::Linear(int64_t in_features, int64_t out_features, bool bias, at::ScalarType dtype)
    : weight_(MakeDenseWeight(NewTensor({out_features, in_features}, dtype))) {
  parameters_ = ParametersWith(*weight_);
  if (bias) SetBias(NewTensor({out_features}, dtype));
}

at::Tensor Linear::forward(const Activation& x) const {
  if (tap_ != nullptr) tap_->tap->OnInput(tap_->linear, x.dense());
  return weight_->Apply(x, bias_);
}

std::unique_ptr<LinearWeight> Linear::SetWeight(std::unique_ptr<LinearWeight> weight, bool resize) {
  TORCH_CHECK(weight != nullptr, "Linear::SetWeight: no weight given");
  TORCH_CHECK(resize || (weight->in_features() == in_features() &&
                         weight->out_features() == out_features()),
              "Linear::SetWeight: weight is [", weight->out_features(), ", ", weight->in_features(),
              "], the layer is [", out_features(), ", ", in_features(), "]");
  // Whatever throws does so before anything of the layer has changed.
  auto parameters = ParametersWith(*weight);
  parameters_ = std::move(parameters);
  return std::exchange(weight_, std::move(weight));
}

torch::OrderedDict<std::string, at::Tensor> Linear::ParametersWith(
    const LinearWeight& weight) const {
  std::set<std::string> replaced = {"bias"};
  if (weight_ != nullptr) {
    for (const WeightTensor& state : weight_->State()) replaced.insert(state.name);
  }
  torch::OrderedDict<std::string, at::Tensor> parameters("Parameter");
  for (const auto& item : parameters_) {
    if (!replaced.contains(item.key())) parameters.insert(item.key(), item.value());
  }
  // Tensors without gradients are parameters too: LibTorch has no way to take a buffer back.
  const std::vector<WeightTensor> states = weight.State();
  for (const WeightTensor& state : states) {
    TORCH_CHECK(state.tensor.defined(), "Linear: the tensor ", state.name,
                " of a weight of format ", weight.format(), " is undefined");
    TORCH_CHECK(!state.name.empty() && state.name.find('.') == std::string::npos &&
                    !parameters.contains(state.name) && state.name != "bias",
                "Linear: a weight of format ", weight.format(), " cannot have a tensor named '",
                state.name, "'");
    TORCH_CHECK(!state.trains || state.tensor.is_floating_point(), "Linear: the tensor ",
                state.name, " of a weight of format ", weight.format(), " is to train but ",
                state.tensor.scalar_type());
    parameters.insert(state.name, state.tensor);
  }
  for (const WeightTensor& state : states) state.tensor.set_requires_grad(state.trains);
  // The bias stays last in the order of tensors.
  if (bias_.has_value()) parameters.insert("bias", *bias_);
  return parameters;
}

void Linear::SetBias(std::optional<at::Tensor> bias) {
  TORCH_CHECK(!bias.has_value() || bias->defined(), "Linear::SetBias: the tensor is undefined");
  if (bias_.has_value()) parameters_.erase("bias");
  bias_ = std::move(bias);
  if (bias_.has_value()) register_parameter("bias", *bias_, bias_->is_floating_point());
}

Embedding::Embedding(int64_t rows, int64_t dim, at::ScalarType dtype)
    : Linear(/*in_features=*/dim, /*out_features=*/rows, /*bias=*/false, dtype) {}

at::Tensor Embedding::Lookup(const at::Tensor& ids, at::ScalarType dtype) const {
  TORCH_CHECK(ids.scalar_type() == at::kLong, "Embedding: ids must be int64, found ",
              ids.scalar_type());
  if (const at::Tensor* table = weight().dense()) return at::embedding(*table, ids);
  const auto rows = weight().Select(/*dim=*/0, ids.flatten());
  TORCH_CHECK(rows.ok(), "Embedding: ", rows.status().message());
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(in_features());
  return (*rows)->Dequantize().to(dtype).reshape(shape);
}

at::Device Embedding::device() const { return weight().State().front().tensor.device(); }

}  // namespace wanlite::nn
