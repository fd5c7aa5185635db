// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Small networks of every role, with two name schemes each as Wan's have, and a quantized weight
// format.
#ifndef WANLITE_TESTS_CHECKPOINT_TOY_MODEL_H_
#define WANLITE_TESTS_CHECKPOINT_TOY_MODEL_H_

#include <map>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/linear_weight.h"
#include "wanlite/model_view.h"

namespace wanlite::testing {

// ToyDenoiser (alias ToyModel, whose configs say "width" for "dim"), ToyEncoder, ToyVae and
// ToyThing, which has one set of names and no role.
ArchitectureRegistry ToyArchitectures();
// The same, made once.
const ArchitectureRegistry& Toys();

// Writes a file and the folders above it.
void Put(Env& env, const std::string& path, const std::string& text);

// The same for a file of tensors.
void PutTensors(Env& env, const std::string& path, const std::vector<NamedTensor>& tensors);
// True when one of the folder's notes says `text`.
bool HasNote(const ModelFolder& folder, const std::string& text);

// config.json texts.
std::string DenoiserConfig(int64_t dim = 4, int64_t layers = 2);
std::string OriginalDenoiserConfig(int64_t dim = 4, int64_t layers = 2);
std::string EncoderConfig(int64_t dim = 4);
std::string VaeConfig(int64_t channels = 3);
std::string ThingConfig(int64_t dim = 4);

// A network in memory with seeded values.
Component MakeToy(const std::string& architecture, const std::string& name,
                  const std::string& config, int64_t seed);

// Its tensors under internal or diffusers names, relative to the component.
std::vector<NamedTensor> InternalTensors(const Component& component);
std::vector<NamedTensor> DiffusersTensors(const Component& component);

// Files of a folder and all folders in it, by path below it.
std::map<std::string, std::string> ReadTree(Env& env, const std::string& dir);

// int8 [out, in] and one fp32 scale per row; format "toy_int8", attributes {"rows": out}.
std::unique_ptr<LinearWeight> QuantizeToy(const at::Tensor& weight);

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_CHECKPOINT_TOY_MODEL_H_
