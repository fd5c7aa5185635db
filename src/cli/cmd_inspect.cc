// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "src/model/dump.h"
#include "src/proto/manifest.pb.h"
#include "src/runner/hollow_model.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct InspectArgs {
  ModelOptions model;
  std::vector<std::string> components;
  bool tensors = false, verify = false;
};

struct Summary {
  int64_t parameters = 0, bytes = 0, tensors = 0, blocks = 0, linears = 0;
  std::map<std::string, int64_t> dtypes;      // tensors by dtype
  std::map<std::string, int64_t> formats;     // linears by weight format
  std::map<std::string, int64_t> embeddings;  // the same of tables
};

absl::StatusOr<Summary> Summarize(const ModelView& view, const Component& component) {
  Summary summary;
  summary.parameters = CountParameters(view, component.name);
  for (const NamedTensor& tensor : view.Tensors()) {
    if (&view.ComponentOf(tensor.name) != &component) continue;
    ++summary.tensors;
    summary.bytes += tensor.tensor.numel() * static_cast<int64_t>(tensor.tensor.element_size());
    ++summary.dtypes[at::toString(tensor.tensor.scalar_type())];
  }
  for (const BlockInfo& block : view.blocks()) {
    // The rest of a component, outside all blocks, is listed as a block too.
    if (&view.ComponentOf(block.path) == &component && block.path != component.name)
      ++summary.blocks;
  }
  for (const LinearInfo& linear : view.linears()) {
    if (&view.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view.Weight(linear.path));
    ++summary.linears;
    ++summary.formats[FormatText(*weight)];
  }
  for (const LinearInfo& table : view.embeddings()) {
    if (&view.ComponentOf(table.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view.Weight(table.path));
    ++summary.embeddings[std::string(weight->format())];
  }
  return summary;
}

std::string CountsText(const std::map<std::string, int64_t>& counts) {
  return absl::StrJoin(counts, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.second, " ", entry.first);
  });
}

// "82 int8", "168 int8 + 1 int8 embedding"
std::string LayersText(const Summary& summary) {
  std::vector<std::string> parts;
  if (!summary.formats.empty()) parts.push_back(CountsText(summary.formats));
  for (const auto& [format, count] : summary.embeddings) {
    parts.push_back(absl::StrCat(count, " ", format, " embedding", count == 1 ? "" : "s"));
  }
  return absl::StrJoin(parts, " + ");
}

absl::Status RunInspect(const InspectArgs& options, Session& session) {
  OpenOptions open;
  open.config_path = options.model.config;
  open.components = options.components;
  open.verify = options.verify;
  open.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(const HollowModel model, OpenHollow(session.env(), options.model.model,
                                                               open, session.architectures()));
  const std::string layout =
      model.folder ? std::string(FolderLayoutName(model.folder->layout())) : "configs only";

  Json json{{"path", options.model.model},
            {"layout", layout},
            {"parameters", CountParameters(model.view)},
            {"bytes", 0},
            {"components", Json::array()},
            {"lineage", Json::array()}};
  std::vector<std::vector<std::string>> rows{
      {"component", "architecture", "parameters", "size", "blocks", "linears", "dtypes"}};
  int64_t bytes = 0;
  for (const Component& component : model.view.components()) {
    WANLITE_ASSIGN_OR_RETURN(const Summary summary, Summarize(model.view, component));
    bytes += summary.bytes;
    json["components"].push_back(Json{{"name", component.name},
                                      {"role", std::string(ComponentRoleName(component.role))},
                                      {"architecture", component.architecture},
                                      {"parameters", summary.parameters},
                                      {"bytes", summary.bytes},
                                      {"tensors", summary.tensors},
                                      {"blocks", summary.blocks},
                                      {"linears", summary.linears},
                                      {"formats", summary.formats},
                                      {"embeddings", summary.embeddings},
                                      {"dtypes", summary.dtypes}});
    rows.push_back({component.name, component.architecture, FormatCount(summary.parameters),
                    FormatBytes(summary.bytes), absl::StrCat(summary.blocks), LayersText(summary),
                    CountsText(summary.dtypes)});
  }
  json["bytes"] = bytes;
  std::string text = absl::StrCat(options.model.model, ": ", layout, ", ",
                                  FormatCount(CountParameters(model.view)), " parameters, ",
                                  FormatBytes(bytes), "\n\n", FormatTable(rows));
  const auto file_names = [](const std::vector<std::string>& names) {
    constexpr size_t kShown = 8;
    const size_t shown = std::min(names.size(), kShown);
    return absl::StrCat(
        absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
        names.size() > shown ? absl::StrCat(", … (", names.size() - shown, " more)") : "");
  };
  if (options.verify) {
    const FolderVerification none;
    const FolderVerification& found = model.folder ? model.folder->verification() : none;
    json["verified"] = found.verified;
    json["unverified"] = found.unknown;
    absl::StrAppend(&text, "\nverified: ",
                    found.verified.empty()
                        ? "nothing, for no hashes come with this layout; headers and sizes fit\n"
                        : absl::StrCat("every byte of ", found.verified.size(), " files\n"));
    if (!found.verified.empty() && !found.unknown.empty()) {
      absl::StrAppend(&text, "not verified, having no hash: ", file_names(found.unknown), "\n");
    }
  }
  if (model.folder) {
    json["notes"] = model.folder->notes();
    if (!model.folder->notes().empty()) text += "\nnotes\n";
    for (const std::string& note : model.folder->notes()) {
      absl::StrAppend(&text, "  ", OneLine(note), "\n");
    }
    json["fingerprint"] = model.folder->fingerprint();
    if (const auto manifest = model.folder->manifest(); manifest != nullptr) {
      if (manifest->lineage_size() > 0) text += "\nmade by\n";
      for (const LineageEntry& entry : manifest->lineage()) {
        Json metrics;
        for (const auto& [name, value] : entry.metrics()) metrics[name] = value;
        const std::vector<std::string> notes(entry.notes().begin(), entry.notes().end());
        json["lineage"].push_back(Json{{"pass", entry.pass()},
                                       {"options", entry.options_text()},
                                       {"seed", entry.seed()},
                                       {"recipe", entry.recipe()},
                                       {"input_fingerprint", entry.input_fingerprint()},
                                       {"metrics", metrics},
                                       {"notes", notes}});
        absl::StrAppend(&text, "  ", entry.pass(), " (recipe ", entry.recipe(), ", seed ",
                        entry.seed(), "): ", OneLine(entry.options_text()), "\n");
        for (const std::string& note : notes) {
          absl::StrAppend(&text, "    ", Printable(note), "\n");
        }
      }
    }
  }
  if (options.tensors) {
    json["tensors"] = Json::array();
    text += "\n";
    for (const NamedTensor& tensor : model.view.Tensors()) {
      const std::string dtype = at::toString(tensor.tensor.scalar_type());
      json["tensors"].push_back(
          Json{{"name", tensor.name}, {"dtype", dtype}, {"shape", tensor.tensor.sizes().vec()}});
      absl::StrAppend(&text, tensor.name, "  ", dtype, " [",
                      absl::StrJoin(tensor.tensor.sizes(), ", "), "]\n");
    }
  }
  if (session.json) {
    session.PrintJson(json);
  } else {
    session.Say(text);
  }
  return absl::OkStatus();
}

}  // namespace

Command AddInspect(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "inspect", "Say what a model folder holds; every header is checked",
                 "wanlite inspect --model examples/digits/model");
  auto options = std::make_shared<InspectArgs>();
  options->model.Add(command.app);
  command.app
      ->add_option("--component", options->components, "only this component; may be repeated")
      ->type_name("NAME");
  command.app->add_flag("--tensors", options->tensors, "list every tensor");
  command.app->add_flag("--verify", options->verify,
                        "read every byte that a wanlite checkpoint has hashes of, compare, and "
                        "say what has none");
  command.run = [options](Session& session) { return RunInspect(*options, session); };
  return command;
}

}  // namespace wanlite::cli
