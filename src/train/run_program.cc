// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A network's program with gradients, the inside of its blocks kept or computed again.
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/train/bf16_products.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One step whose inside is computed again in the backward pass.
struct StepCall : torch::CustomClassHolder {
  const BlockProgram* program = nullptr;
  size_t step = 0;
  std::vector<std::string> inputs;   // names of the values that are tensors of the function
  Values undefined;                  // the others
  std::vector<std::string> outputs;  // names of what the step makes
  at::DeviceType device = at::kCPU;
  bool autocast = false;

  Values ValuesOf(at::TensorList tensors) const {
    Values values = undefined;
    for (size_t i = 0; i < inputs.size(); ++i) values[inputs[i]] = tensors[i];
    return values;
  }
  variable_list Run(Values values) const {
    program->RunStep(step, values);
    variable_list made;
    for (const std::string& name : outputs) made.push_back(ValueOf(values, name.c_str()));
    return made;
  }
};

class RecomputedStep : public torch::autograd::Function<RecomputedStep> {
 public:
  // tensors: the step's inputs, then the parameters that it reads.
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<StepCall>& call,
                               at::TensorList tensors) {
    context->saved_data["call"] =
        c10::IValue::make_capsule(c10::intrusive_ptr<torch::CustomClassHolder>(call));
    context->save_for_backward(tensors.vec());
    return call->Run(call->ValuesOf(tensors));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const c10::intrusive_ptr<torch::CustomClassHolder> holder =
        context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const StepCall&>(*holder);
    const variable_list saved = context->get_saved_variables();
    variable_list tensors = saved, wanted;
    std::vector<size_t> places;  // of `wanted` among the tensors
    for (size_t i = 0; i < saved.size(); ++i) {
      const bool takes = saved[i].defined() && saved[i].requires_grad();
      if (i < call.inputs.size()) tensors[i] = saved[i].detach().set_requires_grad(takes);
      if (!takes) continue;
      wanted.push_back(tensors[i]);
      places.push_back(i);
    }
    variable_list made, into;
    {
      const at::AutoGradMode with_gradients(true);
      const Bf16Products products(call.autocast, call.device);
      const variable_list outputs = call.Run(call.ValuesOf(tensors));
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
        made.push_back(outputs[i]);
        into.push_back(gradients[i]);
      }
    }
    variable_list result(1 + saved.size());  // the call takes none
    if (made.empty() || wanted.empty()) return result;
    const variable_list found =
        torch::autograd::grad(made, wanted, into, /*retain_graph=*/std::nullopt,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < found.size(); ++i) result[1 + places[i]] = found[i];
    return result;
  }
};

variable_list TrainedIn(const Component& component, const std::string& block) {
  variable_list found;
  for (const auto& item : component.module->named_parameters()) {
    if (item.value().requires_grad() && absl::StartsWith(item.key(), block + ".")) {
      found.push_back(item.value());
    }
  }
  return found;
}

}  // namespace

at::Tensor RunProgram(const Component& component, Values values, const ProgramRun& run) {
  const BlockProgram* program = ProgramOf(component);
  TORCH_CHECK_VALUE(program != nullptr, "component '", component.name, "' of architecture ",
                    component.architecture, " declares no block program");
  const std::vector<BlockProgram::Step> steps = program->Steps();
  for (size_t step = 0; step < steps.size(); ++step) {
    // Embeddings and heads are small, and what they make is kept anyway.
    if (!steps[step].block.empty() && at::GradMode::is_enabled()) {
      // A value that many steps read gets one gradient of each step, however often the step reads
      // it: so the sums have one order whether the step is computed again or not.
      Values own = values;
      for (auto& [name, value] : own) {
        if (value.defined() && value.requires_grad()) value = value.view_as(value);
      }
      if (run.recompute) {
        auto call = c10::make_intrusive<StepCall>();
        call->program = program;
        call->step = step;
        call->outputs = steps[step].changes;
        variable_list tensors;
        for (const auto& [name, value] : own) {
          if (!value.defined()) {
            call->undefined[name] = value;
            continue;
          }
          call->inputs.push_back(name);
          tensors.push_back(value);
        }
        if (!tensors.empty()) call->device = tensors.front().device().type();
        call->autocast = at::autocast::is_autocast_enabled(call->device);
        for (const at::Tensor& parameter : TrainedIn(component, steps[step].block)) {
          tensors.push_back(parameter);
        }
        const variable_list made = RecomputedStep::apply(call, at::TensorList(tensors));
        for (size_t i = 0; i < made.size(); ++i) values[call->outputs[i]] = made[i];
      } else {
        program->RunStep(step, own);
        for (const std::string& name : steps[step].changes) values[name] = own[name];
      }
    } else {
      program->RunStep(step, values);
    }
    if (run.observe) run.observe(step, values);
  }
  return ValueOf(values, program->Output().c_str());
}

}  // namespace wanlite::train
