// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the tests of the pipeline run: a toy model on a disk in memory, and passes of every kind,
// whose options are messages that protobuf brings along.
#ifndef WANLITE_TESTS_PIPELINE_TOY_PASSES_H_
#define WANLITE_TESTS_PIPELINE_TOY_PASSES_H_

#include <map>
#include <memory>
#include <string>

#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"

namespace wanlite::testing {

// "ToyModel" of tests/testing/toy_model.h; its config.json says {"hidden": 12}.
const ArchitectureRegistry& ToyArchitectures();

// The built-in passes and, by their options in google.protobuf:
//   Int64Value   keep-units: keeps the first N units of every axis group
//   FloatValue   keep-strongest: decides from the values how many units to keep, and which
//   BoolValue    int8-smallest: decides from the values which linears become INT8
//   DoubleValue  scale-model: multiplies every tensor, model scope
//   Int32Value   steps: N steps on component toy, model scope, with a state in the scratch folder
//   BytesValue   remember: reads the run's input and the model before itself, model scope
//   UInt32Value  as-if: changes nothing, and says that it has the PassEffect of this number
//   StringValue  misbehave: breaks the rule that the text names, in block toy.blocks.1: "nan",
//                "error", "throw", "unplanned", "untouched", "metric", "decide-edits", "inexact";
//                "" keeps them all
PassRegistry ToyPasses();

// What the passes did since somebody set it to zero.
struct ToyCounts {
  int decisions = 0;     // of keep-strongest and int8-smallest
  int steps = 0;         // of steps
  int whole_models = 0;  // that steps was shown, which asks for one component
};
ToyCounts& Counts();

// A recipe for ToyPasses(), which must parse.
ParsedRecipe ToyRecipe(const std::string& text);
std::string KeepUnits(int units);
std::string KeepStrongest(double share);
std::string Int8Smallest();
std::string ScaleModel(double factor);
std::string Steps(int steps);
std::string Remember();
std::string AsIf(PassEffect effect);
std::string Misbehave(const std::string& rule);

// A disk with the checkpoint /in: two components, toy and toy_2, with the given seed.
std::unique_ptr<Env> DiskWithModel(uint64_t seed = 1);
ModelFolder OpenFolder(Env& env, const std::string& dir);

// CompressFolder("/in" -> "/out") on `env`; the model is read from there too.
absl::StatusOr<RunReport> Compress(Env& env, const ParsedRecipe& recipe,
                                   const CompressOptions& options = {});

// Path below `dir` -> contents, of every file; folders are there as "path/".
std::map<std::string, std::string> Tree(Env& env, const std::string& dir);

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_PIPELINE_TOY_PASSES_H_
