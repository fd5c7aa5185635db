// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/linear_tap.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {

struct TapGuard::Rep {
  struct Point {
    std::shared_ptr<torch::nn::Module> owner;
    nn::Linear* linear;
    std::unique_ptr<nn::TapPoint> point;
  };
  std::vector<Point> points;
};

TapGuard::TapGuard(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
TapGuard::TapGuard(TapGuard&&) noexcept = default;
TapGuard::~TapGuard() {
  if (rep_ == nullptr) return;
  for (const Rep::Point& point : rep_->points) point.linear->SetTap(nullptr);
}

absl::StatusOr<TapGuard> TapLinears(const ModelView& model, absl::string_view block,
                                    LinearTap& tap) {
  bool known = false;
  for (const BlockInfo& info : model.blocks()) known = known || info.path == block;
  if (!known) return absl::NotFoundError(absl::StrCat("the model has no block ", block));
  const Component& component = model.ComponentOf(block);
  auto rep = std::make_unique<TapGuard::Rep>();
  for (const LinearInfo& info : model.linears()) {
    if (info.block != block) continue;
    std::shared_ptr<torch::nn::Module> module = component.module;
    absl::string_view rest = info.path;
    if (!component.name.empty()) rest.remove_prefix(component.name.size() + 1);
    // The children of a module by their names.
    while (!rest.empty() && module != nullptr) {
      const absl::string_view name = rest.substr(0, rest.find('.'));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      const auto children = module->named_children();
      const std::shared_ptr<torch::nn::Module>* child = children.find(std::string(name));
      module = child == nullptr ? nullptr : *child;
    }
    auto* linear = dynamic_cast<nn::Linear*>(module.get());
    if (linear == nullptr) {
      return absl::InternalError(absl::StrCat("there is no linear layer at ", info.path));
    }
    if (linear->tapped()) {
      return absl::FailedPreconditionError(
          absl::StrCat(info.path, " is tapped already; end that tap first"));
    }
    rep->points.push_back(
        {module, linear, std::make_unique<nn::TapPoint>(nn::TapPoint{&tap, info})});
  }
  for (const TapGuard::Rep::Point& point : rep->points) point.linear->SetTap(point.point.get());
  return TapGuard(std::move(rep));
}

}  // namespace wanlite
