// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/text_table.h"
#include "src/runner/hollow_model.h"
#include "wanlite/metrics.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"
#include "wanlite/training_cost.h"

namespace wanlite::cli {
namespace {

constexpr size_t kChangesShown = 12;

struct PlanArgs {
  ModelOptions model;
  std::string recipe, samples;
  ShapeOptions shape;
  bool all = false;
  int processes = 1;
  double device_gib = 0, tflops = 0;
};

// A training of a pass, and what it takes.
struct PlannedTraining {
  TrainingNote note;
  TrainingCost cost;
  std::string problem;  // why it cannot run so; empty: it can
};

// What passes that train do not know: sizes of samples, the operations of a forward pass, and of
// the teacher, where that is the model that the recipe begins with.
struct TrainingScene {
  const PlanArgs& args;
  int64_t video_tokens = 0, text_tokens = 0;
  std::map<std::string, double> input_ops;
  std::map<std::string, int64_t> input_values;
};

std::vector<PlannedTraining> TrainingsOf(const PassPlan& plan, const TrainingScene& scene) {
  const auto number = [](const auto& map, const std::string& name) {
    const auto found = map.find(name);
    return found == map.end() ? 0 : found->second;
  };
  std::vector<PlannedTraining> trainings;
  for (const TrainingNote& note : plan.trainings) {
    TrainingPlace place;
    place.processes = scene.args.processes;
    place.video_tokens = scene.video_tokens;
    place.text_tokens = scene.text_tokens;
    place.forward_ops = number(plan.operations_after, note.component);
    place.teacher_ops = note.teacher == "before" ? number(plan.operations_before, note.component)
                                                 : number(scene.input_ops, note.component);
    place.teacher_values = number(scene.input_values, note.component);
    place.tflops = scene.args.tflops;
    PlannedTraining training{note, CostOf(note, place), ""};
    const absl::Status shared = CheckProcesses(note, place.processes);
    const double gib = static_cast<double>(training.cost.memory()) / (1 << 30);
    if (!shared.ok()) {
      training.problem = std::string(shared.message());
    } else if (scene.args.device_gib > 0 && gib > scene.args.device_gib) {
      training.problem = absl::StrFormat(
          "%.1f GiB do not fit into %g GiB: accumulate and recompute lower activations, more "
          "processes the optimizer, training fewer tensors gradients and optimizer",
          gib, scene.args.device_gib);
    }
    trainings.push_back(std::move(training));
  }
  return trainings;
}

Json TrainingJson(const PlannedTraining& training, int processes) {
  const TrainingCost& cost = training.cost;
  const int64_t steps = training.note.steps;
  Json json{{"component", training.note.component},
            {"steps", steps},
            {"batch", training.note.batch},
            {"processes", processes},
            {"trained", training.note.trained},
            {"memory_bytes",
             {{"weights", cost.weights},
              {"gradients", cost.gradients},
              {"optimizer", cost.optimizer},
              {"teacher", cost.teacher},
              {"activations", cost.activations},
              {"total", cost.memory()}}},
            {"sent_bytes_per_step", cost.sent_per_step},
            {"sent_bytes", cost.sent_per_step * steps},
            {"gflop_per_step", cost.step_ops / 1e9},
            {"gflop", cost.step_ops / 1e9 * static_cast<double>(steps)}};
  if (cost.seconds > 0) json["days"] = cost.seconds / 86400;
  if (!training.problem.empty()) json["problem"] = training.problem;
  return json;
}

std::string TrainingText(const PlannedTraining& training, const TrainingScene& scene) {
  const TrainingNote& note = training.note;
  const TrainingCost& cost = training.cost;
  std::string text = absl::StrCat(
      "  trains ", note.component, ": ", FormatCount(note.trained), " of ",
      FormatCount(note.values), " values, ", note.steps, " steps of ", note.batch, " samples of ",
      scene.video_tokens, " tokens", note.recompute ? ", recomputed" : "", ", ",
      scene.args.processes, scene.args.processes == 1 ? " process\n" : " processes\n");
  absl::StrAppend(&text, "    memory of each, estimated: ", FormatBytes(cost.memory()),
                  " (weights ", FormatBytes(cost.weights), ", gradients ",
                  FormatBytes(cost.gradients), ", optimizer ", FormatBytes(cost.optimizer),
                  ", teacher ", FormatBytes(cost.teacher), ", activations ",
                  FormatBytes(cost.activations), ")\n");
  if (scene.args.processes > 1) {
    absl::StrAppend(&text, "    sent by each: ", FormatBytes(cost.sent_per_step), " a step, ",
                    FormatBytes(cost.sent_per_step * note.steps), " in all\n");
  }
  absl::StrAppend(&text, "    operations: ", FormatOps(cost.step_ops), " a step, ",
                  FormatOps(cost.step_ops * static_cast<double>(note.steps)), " in all");
  if (cost.seconds > 0) {
    absl::StrAppendFormat(&text, "; %.3g days where each process sustains %g TFLOP/s, %s",
                          cost.seconds / 86400, scene.args.tflops,
                          "without what it waits for the others");
  }
  text += "\n";
  if (!training.problem.empty()) absl::StrAppend(&text, "    warning: ", training.problem, "\n");
  return text;
}

Json PlanJson(const PassPlan& plan, const TrainingScene& scene) {
  Json trainings = Json::array();
  for (const PlannedTraining& training : TrainingsOf(plan, scene)) {
    trainings.push_back(TrainingJson(training, scene.args.processes));
  }
  Json changes = Json::array();
  for (const PlannedChange& change : plan.changes) {
    changes.push_back(Json{{"path", change.path},
                           {"description", change.description},
                           {"bytes_before", change.bytes_before},
                           {"bytes_after", change.bytes_after},
                           {"parameters_before", change.parameters_before},
                           {"parameters_after", change.parameters_after}});
  }
  const auto gflop = [](const std::map<std::string, double>& operations) {
    Json json = Json::object();
    for (const auto& [name, count] : operations) json[name] = count / 1e9;
    return json;
  };
  return Json{{"pass", plan.pass},
              {"label", plan.label},
              {"estimated", plan.estimated},
              {"bytes_before", plan.bytes_before},
              {"bytes_after", plan.bytes_after},
              {"parameters_before", plan.parameters_before},
              {"parameters_after", plan.parameters_after},
              {"gflop_before", gflop(plan.operations_before)},
              {"gflop_after", gflop(plan.operations_after)},
              {"peak_memory_bytes", plan.peak_memory_bytes},
              {"trainings", trainings},
              {"notes", plan.notes},
              {"warnings", plan.warnings},
              {"changes", changes}};
}

std::string PlanText(const PassPlan& plan, const TrainingScene& scene) {
  const bool all = scene.args.all;
  std::string text = absl::StrCat(
      plan.label, ": ", plan.changes.size(), " changes, ", FormatBytes(plan.bytes_before), " -> ",
      FormatBytes(plan.bytes_after), " (",
      FormatRatio(static_cast<double>(plan.bytes_after), static_cast<double>(plan.bytes_before)),
      "), about ", FormatBytes(plan.peak_memory_bytes), " of memory",
      plan.estimated ? ", estimated" : "", "\n");
  if (plan.parameters_before != plan.parameters_after) {
    absl::StrAppend(&text, "  parameters: ", plan.parameters_before, " -> ", plan.parameters_after,
                    " (",
                    FormatRatio(static_cast<double>(plan.parameters_after),
                                static_cast<double>(plan.parameters_before)),
                    ")\n");
  }
  const size_t shown = all ? plan.changes.size() : std::min(plan.changes.size(), kChangesShown);
  for (size_t i = 0; i < shown; ++i) {
    const PlannedChange& change = plan.changes[i];
    absl::StrAppend(&text, "  ", change.path, ": ", change.description);
    if (change.bytes_before != change.bytes_after) {
      absl::StrAppend(&text, ", ", FormatBytes(change.bytes_before), " -> ",
                      FormatBytes(change.bytes_after));
    }
    text += "\n";
  }
  if (shown < plan.changes.size()) {
    absl::StrAppend(&text, "  ... and ", plan.changes.size() - shown, " more (--all shows them)\n");
  }
  for (const PlannedTraining& training : TrainingsOf(plan, scene)) {
    text += TrainingText(training, scene);
  }
  for (const std::string& note : plan.notes) absl::StrAppend(&text, "  note: ", note, "\n");
  for (const std::string& warning : plan.warnings) {
    absl::StrAppend(&text, "  warning: ", warning, "\n");
  }
  return text;
}

absl::Status RunPlan(const PlanArgs& options, Session& session) {
  if (options.processes < 1 || options.device_gib < 0 || options.tflops < 0) {
    return absl::InvalidArgumentError(
        "--processes is at least 1, --device-gib and --tflops are at least 0");
  }
  OpenOptions open;
  open.config_path = options.model.config;
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Load(session.env(), options.recipe, BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(HollowModel model, OpenHollow(session.env(), options.model.model, open,
                                                         session.architectures()));
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings defaults, DefaultSettings(model));
  const VideoShape shape = options.shape.Resolve(defaults, TextLength(model.view));
  WANLITE_ASSIGN_OR_RETURN(const ModelOps before, CountOps(model.view, shape));
  TrainingScene scene{options, before.video_tokens, shape.text_tokens, {}, {}};
  for (const auto& [name, forward] : before.denoisers) {
    scene.input_ops[name] = forward.total().dense;
    scene.input_values[name] = CountParameters(model.view, name);
  }
  PlanOptions plan_options;
  plan_options.count_operations =
      [&](const ModelView& view) -> absl::StatusOr<std::map<std::string, double>> {
    WANLITE_ASSIGN_OR_RETURN(const ModelOps ops, CountOps(view, shape));
    std::map<std::string, double> total;
    for (const auto& [name, forward] : ops.denoisers) total[name] = forward.total().dense;
    return total;
  };
  std::optional<SampleSet> samples;
  if (!options.samples.empty()) {
    WANLITE_ASSIGN_OR_RETURN(samples, SampleSet::Open(session.env(), options.samples));
    plan_options.samples = &*samples;
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<PassPlan> plans,
                           PlanRecipe(recipe, model.view, plan_options));
  WANLITE_ASSIGN_OR_RETURN(const ModelOps after, CountOps(model.view, shape));

  if (session.json) {
    Json passes = Json::array();
    for (const PassPlan& plan : plans) passes.push_back(PlanJson(plan, scene));
    Json gflop_before, gflop_after;
    for (const auto& [name, ops] : before.denoisers) gflop_before[name] = OpsJson(ops);
    for (const auto& [name, ops] : after.denoisers) gflop_after[name] = OpsJson(ops);
    session.PrintJson(Json{{"recipe", recipe.name()},
                           {"model", options.model.model},
                           {"frames", shape.frames},
                           {"height", shape.height},
                           {"width", shape.width},
                           {"passes", passes},
                           {"gflop_before", gflop_before},
                           {"gflop_after", gflop_after}});
    return absl::OkStatus();
  }
  std::string text;
  for (const PassPlan& plan : plans) absl::StrAppend(&text, PlanText(plan, scene), "\n");
  std::vector<std::vector<std::string>> rows{
      {"one forward", "before", "after", "of it INT8", "ratio"}};
  for (const auto& [name, ops] : before.denoisers) {
    const auto found = after.denoisers.find(name);
    if (found == after.denoisers.end()) {
      rows.push_back({name, FormatOps(ops.total().dense), "gone", "", ""});
      continue;
    }
    const OpCount then = found->second.total();
    rows.push_back({name, FormatOps(ops.total().dense), FormatOps(then.dense), FormatOps(then.int8),
                    FormatRatio(then.dense, ops.total().dense)});
  }
  if (rows.size() > 1) {
    absl::StrAppend(&text, FormatTable(rows), "at ", shape.frames, " frames of ", shape.width, "x",
                    shape.height, "; 2 operations per multiply-add, INT8 or not\n");
  }
  session.Say(text);
  return absl::OkStatus();
}

}  // namespace

Command AddPlan(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "plan", "Say what a recipe would do to a model, from shapes alone; configs are enough",
      "wanlite plan --model examples/digits/model --recipe "
      "examples/recipes/digits_int8.textproto");
  auto options = std::make_shared<PlanArgs>();
  options->model.Add(command.app);
  command.app->add_option("--recipe", options->recipe, "recipe as textproto (docs/recipe.md)")
      ->required()
      ->type_name("FILE");
  command.app
      ->add_option("--samples", options->samples,
                   "recorded inputs (wanlite record) that the recipe would run with: say now if a "
                   "pass needs what they do not have")
      ->type_name("DIR");
  options->shape.Add(command.app);
  command.app->add_flag("--all", options->all, "show every change");
  const auto add = [&](const char* name, auto& value, const char* what) {
    command.app->add_option(name, value, what)->type_name("N")->group("Training");
  };
  add("--processes", options->processes, "that train together, each on a device of its own");
  add("--device-gib", options->device_gib, "memory of each, to say whether the training fits");
  add("--tflops", options->tflops,
      "TFLOP/s that each sustains in training, measured, to say how long it takes");
  command.run = [options](Session& session) { return RunPlan(*options, session); };
  return command;
}

}  // namespace wanlite::cli
