// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A model as text, one line per tensor: for tests that compare structure, and for people.
#ifndef WANLITE_SRC_MODEL_DUMP_H_
#define WANLITE_SRC_MODEL_DUMP_H_

#include <string>

#include "wanlite/model_view.h"

namespace wanlite {

// Lines "path dtype [shape]" in the order of the module tree, with the weight format behind the
// main tensor of linears that are not dense ("int8 {…}").
std::string DumpModel(const ModelView& model);

// The format of a weight with its attributes, for reports: "int8", "int4 (activations int8)",
// "low_rank (alpha 8) over int4 (activations int8)".
std::string FormatText(const LinearWeight& weight);

// "fp32", "bf16", "int8": the names used in dumps, plans and reports.
std::string DtypeName(at::ScalarType dtype);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_DUMP_H_
