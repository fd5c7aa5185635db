// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_DIGITS_SCANS_PATH_H_
#define WANLITE_TESTS_DIGITS_SCANS_PATH_H_

namespace wanlite::digits {

// The real scans, from the root of the repository, where tests run.
inline constexpr char kScansPath[] = "examples/digits/data/digits.csv.gz";

}  // namespace wanlite::digits

#endif  // WANLITE_TESTS_DIGITS_SCANS_PATH_H_
