// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/linear_tap.h"

#include <map>
#include <utility>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

class CopyTap : public LinearTap {
 public:
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    calls.emplace_back(linear.kind, x.clone());
    paths.push_back(linear.path);
  }
  std::vector<std::pair<std::string, at::Tensor>> calls;
  std::vector<std::string> paths;
};

ModelView TappedView(std::shared_ptr<testing::ToyModel> model, const std::string& name) {
  ASSERT_OK_AND_ASSIGN(ModelView view,
                       ModelView::Create({testing::ToyComponent(std::move(model), name)}));
  return view;
}

TEST_CASE("a tap sees the inputs of its block's linears, in the order in which they run") {
  const at::NoGradGuard no_grad;
  const std::string name = GENERATE("toy", "");
  const auto model = testing::MakeToyModel();
  const ModelView view = TappedView(model, name);
  const std::string prefix = name.empty() ? "" : name + ".";
  const at::Tensor x = at::randn({2, 4});
  const at::Tensor want = model->forward(x);
  CopyTap tap;
  {
    ASSERT_OK_AND_ASSIGN(const TapGuard guard, TapLinears(view, prefix + "blocks.1", tap));
    // Looking changes nothing.
    CHECK(at::equal(model->forward(x), want));
    const at::Tensor in = model->blocks[0]->forward(model->embed->forward(x));
    REQUIRE(tap.paths == std::vector<std::string>{prefix + "blocks.1.up", prefix + "blocks.1.gate",
                                                  prefix + "blocks.1.down"});
    CHECK(tap.calls[0].first == "mlp.up");
    CHECK(at::equal(tap.calls[0].second, in));
    CHECK(at::equal(tap.calls[1].second, in));
    CHECK(tap.calls[2].second.sizes() == at::IntArrayRef({2, 12}));
  }
  // It has ended.
  model->forward(x);
  CHECK(tap.calls.size() == 3);
}

TEST_CASE("a component's rest is tapped without its blocks") {
  const at::NoGradGuard no_grad;
  const auto model = testing::MakeToyModel();
  const ModelView view = TappedView(model, "toy");
  CopyTap tap;
  ASSERT_OK_AND_ASSIGN(const TapGuard guard, TapLinears(view, "toy", tap));
  model->forward(at::randn({2, 4}));
  CHECK(tap.paths == std::vector<std::string>{"toy.embed", "toy.head"});
}

TEST_CASE("a tap under a tap is refused, and the first one stays") {
  const at::NoGradGuard no_grad;
  const auto model = testing::MakeToyModel();
  const ModelView view = TappedView(model, "toy");
  CopyTap first, second;
  ASSERT_OK_AND_ASSIGN(TapGuard guard, TapLinears(view, "toy.blocks.0", first));
  CHECK(TapLinears(view, "toy.blocks.0", second).status() ==
        absl::FailedPreconditionError("toy.blocks.0.up is tapped already; end that tap first"));
  CHECK(absl::IsNotFound(TapLinears(view, "toy.blocks.9", second).status()));
  // Another block is another matter, and a guard that moves stays one guard.
  ASSERT_OK_AND_ASSIGN(const TapGuard other, TapLinears(view, "toy.blocks.1", second));
  const TapGuard moved = std::move(guard);
  model->forward(at::randn({2, 4}));
  CHECK(first.calls.size() == 3);
  CHECK(second.calls.size() == 3);
}

TEST_CASE(
    "a leased block of a streaming view can be tapped, and its weight exchanged under a tap") {
  const at::NoGradGuard no_grad;
  const auto full = testing::MakeToyModel();
  const ModelView in_memory = TappedView(full, "toy");
  std::shared_ptr<testing::ToyModel> hollow;
  {
    const nn::HollowGuard guard;
    hollow = std::make_shared<testing::ToyModel>();
  }
  ModelView view = TappedView(hollow, "toy");
  view.AttachSource(std::make_shared<testing::MapSource>(in_memory.Tensors()));
  const at::Tensor x = at::randn({2, 8});
  CopyTap tap;
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy.blocks.0"));
    ASSERT_OK_AND_ASSIGN(const TapGuard guard, TapLinears(view, "toy.blocks.0", tap));
    CHECK(at::equal(hollow->blocks[0]->forward(x), full->blocks[0]->forward(x)));
    REQUIRE(tap.calls.size() == 3);
    CHECK(at::equal(tap.calls[0].second, x));
    REQUIRE_OK(view.SetLinearWeight("toy.blocks.0.up", MakeDenseWeight(at::randn({12, 8}))));
    hollow->blocks[0]->forward(x);
    CHECK(tap.calls.size() == 6);
  }
}

}  // namespace
}  // namespace wanlite
