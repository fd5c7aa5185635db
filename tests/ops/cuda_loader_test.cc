// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cuda_loader.h"

#include <dlfcn.h>

#include <string>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {

TEST_CASE("asking for CUDA gives a device or a reason, the same one each time") {
  const bool loaded_before = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD) != nullptr;
  CHECK_FALSE(loaded_before);
  const absl::Status status = EnsureCuda();
  INFO(status.ToString());
  CHECK(EnsureCuda() == status);
  // Anything else means that the library is missing or broken.
  const bool known = status.ok() || absl::IsUnavailable(status) || absl::IsUnimplemented(status);
  REQUIRE(known);
  if (status.ok()) CHECK(at::globalContext().hasCUDA());
  // LibTorch's CUDA part came along, in builds that have one, and only now.
  const bool loaded = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD) != nullptr;
  // A machine without CUDA's own libraries cannot load it; with a device it must be there.
  if (status.ok()) CHECK(loaded);
  if (absl::IsUnimplemented(status)) CHECK_FALSE(loaded);
  // The CPU operators work whatever the answer.
  const at::Tensor x = at::ones({2, 4});
  CHECK(at::equal(HadamardRotate(HadamardRotate(x, 4), 4), x));
}

}  // namespace wanlite::ops
