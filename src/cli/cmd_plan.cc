// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/text_table.h"
#include "src/runner/hollow_model.h"
#include "wanlite/metrics.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

constexpr size_t kChangesShown = 12;

struct PlanArgs {
  ModelOptions model;
  std::string recipe;
  ShapeOptions shape;
  bool all = false;
};

Json PlanJson(const PassPlan& plan) {
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
              {"notes", plan.notes},
              {"warnings", plan.warnings},
              {"changes", changes}};
}

std::string PlanText(const PassPlan& plan, bool all) {
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
  for (const std::string& note : plan.notes) absl::StrAppend(&text, "  note: ", note, "\n");
  for (const std::string& warning : plan.warnings) {
    absl::StrAppend(&text, "  warning: ", warning, "\n");
  }
  return text;
}

absl::Status RunPlan(const PlanArgs& options, Session& session) {
  OpenOptions open;
  open.config_path = options.model.config;
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Load(session.env(), options.recipe, BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(HollowModel model, OpenHollow(session.env(), options.model.model, open,
                                                         session.architectures()));
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings defaults, DefaultSettings(model));
  const VideoShape shape = options.shape.Resolve(defaults, TextLength(model.view));
  WANLITE_ASSIGN_OR_RETURN(const ModelOps before, CountOps(model.view, shape));
  PlanOptions plan_options;
  plan_options.count_operations =
      [&](const ModelView& view) -> absl::StatusOr<std::map<std::string, double>> {
    WANLITE_ASSIGN_OR_RETURN(const ModelOps ops, CountOps(view, shape));
    std::map<std::string, double> total;
    for (const auto& [name, forward] : ops.denoisers) total[name] = forward.total().dense;
    return total;
  };
  WANLITE_ASSIGN_OR_RETURN(const std::vector<PassPlan> plans,
                           PlanRecipe(recipe, model.view, plan_options));
  WANLITE_ASSIGN_OR_RETURN(const ModelOps after, CountOps(model.view, shape));

  if (session.json) {
    Json passes = Json::array();
    for (const PassPlan& plan : plans) passes.push_back(PlanJson(plan));
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
  for (const PassPlan& plan : plans) absl::StrAppend(&text, PlanText(plan, options.all), "\n");
  std::vector<std::vector<std::string>> rows{
      {"one forward", "before", "after", "of it INT8", "ratio"}};
  for (const auto& [name, ops] : before.denoisers) {
    const OpCount then = after.denoisers.at(name).total();
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
  options->shape.Add(command.app);
  command.app->add_flag("--all", options->all, "show every change");
  command.run = [options](Session& session) { return RunPlan(*options, session); };
  return command;
}

}  // namespace wanlite::cli
