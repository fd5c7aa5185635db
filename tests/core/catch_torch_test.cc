// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/catch_torch.h"

#include <new>
#include <string>

#include "tests/testing/catch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using absl::StatusCode;

TEST_CASE("each kind of exception has its status code") {
  const auto code = [](auto fn) { return CatchTorch(fn).code(); };
  CHECK(code([] { TORCH_CHECK_WITH(OutOfMemoryError, false, "x"); }) ==
        StatusCode::kResourceExhausted);
  CHECK(code([] { TORCH_CHECK_INDEX(false, "x"); }) == StatusCode::kOutOfRange);
  CHECK(code([] { TORCH_CHECK_VALUE(false, "x"); }) == StatusCode::kInvalidArgument);
  CHECK(code([] { TORCH_CHECK_TYPE(false, "x"); }) == StatusCode::kInvalidArgument);
  CHECK(code([] { TORCH_CHECK_NOT_IMPLEMENTED(false, "x"); }) == StatusCode::kUnimplemented);
  CHECK(code([] { TORCH_CHECK_WITH(DistError, false, "x"); }) == StatusCode::kUnavailable);
  CHECK(code([] { TORCH_CHECK(false, "x"); }) == StatusCode::kInternal);
  CHECK(code([] { std::string("").at(3); }) == StatusCode::kInternal);
  CHECK(code([] { ::operator delete(::operator new (size_t{1} << 62)); }) ==
        StatusCode::kResourceExhausted);
}

TEST_CASE("a failed allocation of the CPU allocator is ResourceExhausted") {
  const absl::StatusOr<at::Tensor> tensor =
      CatchTorch([] { return torch::empty({int64_t{1} << 60}, torch::kByte); });
  CHECK(tensor.status().code() == StatusCode::kResourceExhausted);
}

TEST_CASE("the message is the one of the check, without a backtrace") {
  const absl::Status status = CatchTorch([] { TORCH_CHECK(false, "width 3, wants 4"); });
  CHECK(status.message() == "width 3, wants 4");
}

TEST_CASE("values, statuses and void pass through") {
  CHECK(CatchTorch([] {}).ok());
  CHECK(CatchTorch([] { return absl::NotFoundError("f"); }) == absl::NotFoundError("f"));
  const absl::StatusOr<int> number = CatchTorch([] { return 7; });
  REQUIRE_OK(number);
  CHECK(*number == 7);
  const absl::StatusOr<std::unique_ptr<int>> owned =
      CatchTorch([]() -> absl::StatusOr<std::unique_ptr<int>> { return std::make_unique<int>(8); });
  REQUIRE_OK(owned);
  CHECK(**owned == 8);
  CHECK(CatchTorch([]() -> absl::StatusOr<int> { return absl::AbortedError("a"); }).status() ==
        absl::AbortedError("a"));
}

TEST_CASE("Annotate puts the context in front and keeps code and payloads") {
  absl::Status status = absl::DataLossError("truncated");
  status.SetPayload("k", absl::Cord("v"));
  const absl::Status annotated = Annotate(Annotate(status, "a.safetensors"), "transformer");
  CHECK(annotated.code() == StatusCode::kDataLoss);
  CHECK(annotated.message() == "transformer: a.safetensors: truncated");
  CHECK(annotated.GetPayload("k") == absl::Cord("v"));
  CHECK(Annotate(absl::OkStatus(), "x").ok());
}

}  // namespace
}  // namespace wanlite
