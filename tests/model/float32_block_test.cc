// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/float32_block.h"

#include <optional>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

TEST_CASE("a block computes in fp32 while it is asked to, and is stored as before afterwards") {
  const bool streaming = GENERATE(false, true);
  CAPTURE(streaming);
  ASSERT_OK_AND_ASSIGN(ModelView view,
                       ModelView::Create({testing::ToyComponent(testing::MakeToyModel())}));
  REQUIRE_OK(view.Cast(at::kBFloat16));
  if (streaming) {
    view.AttachSource(std::make_shared<testing::MapSource>(view.Tensors()));
  }
  const std::string before = view.Fingerprint();
  const std::string path = "toy.blocks.0.up";
  const at::Tensor x = at::randn({5, 8}, at::detail::createCPUGenerator(1), at::kFloat);
  for (int round = 0; round < 2; ++round) {
    std::optional<BlockLease> lease;
    {
      ASSERT_OK_AND_ASSIGN(BlockLease taken, view.Lease("toy.blocks.0"));
      lease.emplace(std::move(taken));
    }
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(path));
    const at::Tensor stored = weight->dense()->detach().clone();
    CHECK(stored.scalar_type() == at::kBFloat16);
    const at::Tensor coarse = weight->Apply(x, std::nullopt);
    {
      const Float32Block wide(view, "toy.blocks.0");
      CHECK(weight->dense()->scalar_type() == at::kFloat);
      CHECK(at::equal(*weight->dense(), stored.to(at::kFloat)));
      const at::Tensor fine = weight->Apply(x, std::nullopt);
      CHECK(at::allclose(fine, at::linear(x, stored.to(at::kFloat)), 1e-6));
      CHECK_FALSE(at::equal(fine, coarse));
      // Exchanged and exchanged back.
      const at::Tensor dense = *weight->dense();
      REQUIRE_OK(view.SetLinearWeight(path, MakeDenseWeight(dense * 2)));
      REQUIRE_OK(view.SetLinearWeight(path, MakeDenseWeight(dense)));
    }
    ASSERT_OK_AND_ASSIGN(weight, view.Weight(path));
    CHECK(at::equal(*weight->dense(), stored));
    CHECK(at::equal(weight->Apply(x, std::nullopt), coarse));
    CHECK(view.Fingerprint() == before);
  }
}

}  // namespace
}  // namespace wanlite
