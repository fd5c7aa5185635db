// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// An evaluation as one HTML file that needs no other: style, charts and frames are inside, there is
// no script, and nothing is loaded. Light and dark as the reader's system asks for.
#ifndef WANLITE_SRC_REPORT_EVALUATION_HTML_H_
#define WANLITE_SRC_REPORT_EVALUATION_HTML_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/evaluate/evaluate.h"
#include "wanlite/env.h"

namespace wanlite {

// Images beyond this many bytes (as they stand in the file) are left out, and it says so.
inline constexpr int64_t kReportImageBytes = 1'400'000;

// Every text that comes from files or requests is escaped. What was not measured says so.
std::string EvaluationHtml(const EvaluateReport& report);

// Replaces the file atomically.
absl::Status WriteEvaluationHtml(Env& env, absl::string_view path, const EvaluateReport& report);

}  // namespace wanlite

#endif  // WANLITE_SRC_REPORT_EVALUATION_HTML_H_
