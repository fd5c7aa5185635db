// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "src/core/text_table.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"

namespace wanlite::report {
namespace {

// In one unit with as many decimals, so that columns can be compared by eye.
std::string Cell(double operations, const Unit& unit) {
  constexpr int kDecimals = 4;
  if (!(operations > 0)) return "0";
  return operations < 0.00005 * unit.size ? "&lt;\u00a00.0001"
                                          : Fixed(operations / unit.size, kDecimals);
}

void AddRow(const std::string& what, const OpCount& count, const std::string& calls,
            const Unit& unit, bool total, Table* table) {
  table->rows.push_back(
      {{what, Cell(count.dense, unit), Cell(count.effective, unit), Cell(count.realised, unit),
        Cell(count.int8, unit), count.bops > 0 ? FormatOps(count.bops, "BOP") : "0", calls},
       false,
       total});
}

void AddParts(const ForwardOps& ops, const Unit& unit, Table* table) {
  const std::pair<const char*, const OpCount*> parts[] = {{"linear layers", &ops.linear},
                                                          {"self-attention", &ops.self_attention},
                                                          {"cross-attention", &ops.cross_attention},
                                                          {"convolution", &ops.convolution}};
  for (const auto& [name, count] : parts) {
    if (count->dense > 0) AddRow(name, *count, "", unit, false, table);
  }
}

void AddGroup(const std::string& title, const ForwardOps& ops, const std::string& calls,
              const Unit& unit, Table* table) {
  if (!(ops.total().dense > 0)) return;
  table->rows.push_back({{title}, true});
  AddParts(ops, unit, table);
  AddRow("total", ops.total(), calls, unit, true, table);
}

std::string Calls(const ModelReport& model, const std::string& component) {
  const auto found = model.calls.find(component);
  return found == model.calls.end() ? NotMeasured() : absl::StrCat(found->second);
}

std::string OneModel(const NamedModel& named, bool open) {
  const ModelReport& model = *named.model;
  // Forwards are told in the unit of the largest, the sums of many in one of their own.
  double largest = std::max({model.step.total().dense, model.ops.text_encoder.total().dense,
                             model.ops.vae_decode.total().dense});
  for (const auto& [name, ops] : model.ops.denoisers) {
    largest = std::max(largest, ops.total().dense);
  }
  if (!(largest > 0)) return "";
  const Unit unit = OperationsUnit(largest);
  const Unit sum_unit = OperationsUnit(model.generation.total().dense);
  Table table;
  const auto head = [](const Unit& u) {
    return std::vector<std::string>{"in " + u.name, "dense",          "effective", "realised",
                                    "of them INT8", "bit operations", "calls"};
  };
  table.head = head(unit);
  for (const auto& [name, ops] : model.ops.denoisers) {
    AddGroup(Quoted(name) + ", one forward", ops, Calls(model, name), unit, &table);
  }
  AddGroup("text encoder, one prompt", model.ops.text_encoder, Calls(model, "text_encoder"), unit,
           &table);
  AddGroup("VAE, decoding one clip", model.ops.vae_decode, Calls(model, "vae.decode"), unit,
           &table);
  AddGroup("one step, as the steps ran on average", model.step, "", unit, &table);
  Table sums;
  sums.head = head(sum_unit);
  AddGroup("one generation, text encoder and VAE included", model.generation, "", sum_unit, &sums);
  return absl::StrCat("<details", open ? " open" : "", "><summary>", ModelLabel(named),
                      ": parts, per expert, per step and per generation</summary>\n",
                      TableHtml(table, ""), sums.rows.empty() ? "" : TableHtml(sums, ""),
                      "</details>\n");
}

}  // namespace

std::string OperationsHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  Table table;
  table.head = {"one generation", "dense",          "effective",          "realised",
                "of them INT8",   "bit operations", "element-wise, apart"};
  bool wasted = false;
  for (const NamedModel& model : models) {
    const OpCount total = model.model->generation.total();
    Table::Row row{{ModelLabel(model)}};
    if (total.dense > 0) {
      for (double count : {total.dense, total.effective, total.realised, total.int8}) {
        row.cells.push_back(absl::StrCat(FormatOps(count), "<small>",
                                         Percent(count / total.dense, 1), " of dense</small>"));
      }
      row.cells.push_back(FormatOps(total.bops, "BOP"));
      row.cells.push_back(FormatOps(model.model->generation.other, "FLOP"));
      wasted = wasted || total.effective < 0.999 * total.realised;
    } else {
      row.cells.resize(table.head.size(), NotMeasured());
    }
    table.rows.push_back(row);
  }
  std::string out = TableHtml(table, "");
  if (wasted) {
    absl::StrAppend(&out, NoteHtml("<b>Zero weights save no time here:</b> the effective count is "
                                   "lower than the realised one, which is what the kernels of "
                                   "this build execute."));
  }
  absl::StrAppend(&out, NoteHtml("Measured calls, guidance branches counted each. Dense: of the "
                                 "shapes that ran. Effective: without products with zero weights. "
                                 "Realised: what the kernels execute."));
  for (const NamedModel& model : models) {
    absl::StrAppend(&out, OneModel(model, models.size() == 2 && model.paired != nullptr));
  }
  return out;
}

}  // namespace wanlite::report
