// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Catch2 2.x (Debian 12) and 3.x (Ubuntu 24.04) under one include.
#ifndef WANLITE_TESTS_TESTING_CATCH_H_
#define WANLITE_TESTS_TESTING_CATCH_H_

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace wanlite::testing {
inline const absl::Status& ToStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& status) {
  return status.status();
}
}  // namespace wanlite::testing

// Fails with the status text when `expr` (Status or StatusOr) is not OK.
#define REQUIRE_OK(expr)                                                        \
  do {                                                                          \
    const absl::Status require_ok_status_ = ::wanlite::testing::ToStatus(expr); \
    INFO(require_ok_status_.ToString());                                        \
    REQUIRE(require_ok_status_.ok());                                           \
  } while (false)

#define ASSERT_OK_AND_ASSIGN_CONCAT_INNER_(a, b) a##b
#define ASSERT_OK_AND_ASSIGN_CONCAT_(a, b) ASSERT_OK_AND_ASSIGN_CONCAT_INNER_(a, b)
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL_(ASSERT_OK_AND_ASSIGN_CONCAT_(assert_ok_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  REQUIRE_OK(tmp);                                 \
  lhs = *std::move(tmp)

#endif  // WANLITE_TESTS_TESTING_CATCH_H_
