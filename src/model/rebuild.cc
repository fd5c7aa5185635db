// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A structural edit is a new config and where each tensor comes from: the component is built hollow
// from the one and filled from the other, so that it streams, and shapes alone can be planned with.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/model/derived_source.h"
#include "src/model/dump.h"
#include "src/model/model_view_rep.h"
#include "src/model/tensor_text.h"
#include "wanlite/architecture.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Tensors of a model themselves, for a component that is built from them.
class LiveSource final : public TensorSource {
 public:
  // refusal: what reading one says, for tensors whose values are not there; may be empty.
  LiveSource(const std::vector<NamedTensor>& tensors, std::string refusal)
      : refusal_(std::move(refusal)) {
    for (const NamedTensor& named : tensors) {
      tensors_[named.name] = named.tensor;
      infos_.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
    }
    std::sort(infos_.begin(), infos_.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override {
    if (!refusal_.empty()) return absl::FailedPreconditionError(refusal_);
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(name)));
    }
    return found->second.detach();
  }
  void Release(absl::string_view) const override {}

 private:
  std::map<std::string, at::Tensor, std::less<>> tensors_;
  std::vector<TensorInfo> infos_;
  std::string refusal_;
};

bool IsNumber(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// New name -> old name of the blocks that are left. Those of a numbered list that loses some take
// its first names. blocks: in forward order.
std::map<std::string, std::string> NamesAfterDrop(const std::vector<std::string>& blocks,
                                                  const std::set<std::string>& dropped) {
  std::map<std::string, std::vector<std::string>> lists, left;  // by parent
  std::map<std::string, std::string> old_names;
  for (const std::string& block : blocks) {
    const std::string parent(ParentPath(block));
    const bool numbered =
        IsNumber(absl::string_view(block).substr(parent.empty() ? 0 : parent.size() + 1));
    if (numbered) lists[parent].push_back(block);
    if (dropped.contains(block)) continue;
    if (numbered) {
      left[parent].push_back(block);
    } else {
      old_names[block] = block;
    }
  }
  for (const auto& [parent, kept] : left) {
    for (size_t i = 0; i < kept.size(); ++i) old_names[lists[parent][i]] = kept[i];
  }
  return old_names;
}

// What an edit of one component is made with. Paths are inside the component unless called full.
class Rebuilder {
 public:
  Rebuilder(const ModelView::Rep& view, size_t component)
      : view_(view), number_(component), old_(view.components[component]) {}

  absl::StatusOr<ModelView::Rep::Rebuilt> Run(const StructureEdit& edit,
                                              const std::vector<DerivedTensor>& tensors) {
    WANLITE_RETURN_IF_ERROR(CheckBlocks(edit));
    WANLITE_RETURN_IF_ERROR(Build(edit));
    WANLITE_RETURN_IF_ERROR(MapBlocks());
    for (const DerivedTensor& tensor : tensors) {
      if (!given_.emplace(tensor.name, &tensor).second) {
        return absl::InvalidArgumentError(absl::StrCat(tensor.name, " is derived twice"));
      }
    }
    WANLITE_RETURN_IF_ERROR(DeriveLinears());
    WANLITE_RETURN_IF_ERROR(DeriveTensors());
    if (!given_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the edited model has no linear or tensor ",
                                                     QuoteName(given_.begin()->first)));
    }
    WANLITE_ASSIGN_OR_RETURN(const auto source, DerivedSource::Create(std::move(entries_)));
    WANLITE_RETURN_IF_ERROR(TakeShapes(*source));
    if (!view_.streaming) WANLITE_RETURN_IF_ERROR(Fill(*source));
    ModelView::Rep::Rebuilt rebuilt;
    rebuilt.component = number_;
    rebuilt.now = std::move(now_);
    rebuilt.moves = std::move(moves_);
    if (view_.streaming) {
      for (const BlockInfo& block : index_.blocks) rebuilt.sources[block.path] = source;
    }
    return rebuilt;
  }

 private:
  std::string Full(absl::string_view inside) const { return JoinTensorPath(old_.name, inside); }
  std::string Inside(absl::string_view full) const {
    if (!old_.name.empty()) absl::ConsumePrefix(&full, absl::StrCat(old_.name, "."));
    return std::string(full);
  }
  const std::string& RestBlock() const { return index_.blocks.front().path; }

  absl::Status CheckBlocks(const StructureEdit& edit) {
    std::set<std::string> removable, all;
    for (const BlockInfo& block : view_.index.blocks) {
      if (view_.index.ComponentOf(block.path) != number_) continue;
      if (view_.leased.contains(block.path)) {
        return absl::FailedPreconditionError(
            absl::StrCat("a component is rebuilt while its block ", block.path, " is leased"));
      }
      old_blocks_full_.push_back(block.path);
      if (old_blocks_full_.size() == 1) continue;  // the component's rest comes first
      old_blocks_.push_back(Inside(block.path));
      all.insert(old_blocks_.back());
      if (block.removable) removable.insert(old_blocks_.back());
    }
    for (const std::string& block : edit.drop_blocks) {
      if (!all.contains(block)) {
        return absl::InvalidArgumentError(
            absl::StrCat("there is no block ", QuoteName(block), " to drop"));
      }
      if (!removable.contains(block)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "the block ", block, " cannot be dropped: what goes in is not what comes out"));
      }
      if (!dropped_.insert(block).second) {
        return absl::InvalidArgumentError(absl::StrCat("the block ", block, " is dropped twice"));
      }
    }
    if (!dropped_.empty() && dropped_.size() == all.size()) {
      return absl::InvalidArgumentError("all blocks are dropped, which leaves no network");
    }
    for (const auto& [name, units] : edit.units) {
      const auto group = view_.index.group_index.find(Full(name));
      if (group == view_.index.group_index.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("there is no axis group ", QuoteName(name), " to give units"));
      }
      if (units < 1) {
        return absl::InvalidArgumentError(
            absl::StrCat("axis group ", name, " cannot have ", units, " units"));
      }
      if (dropped_.contains(Inside(view_.index.groups[group->second].block))) {
        return absl::InvalidArgumentError(
            absl::StrCat("axis group ", name, " gets units and its block is dropped"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Build(const StructureEdit& edit) {
    if (old_.definition == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("nothing says how a ", old_.architecture,
                                                        " is built: set Component::definition"));
    }
    const Architecture& definition = *old_.definition;
    if (!definition.edit_config) {
      return absl::UnimplementedError(
          absl::StrCat("the structure of a ", definition.name, " cannot be edited"));
    }
    now_ = old_;
    if (definition.config_of) {
      WANLITE_ASSIGN_OR_RETURN(now_.config_json, CatchTorch([&] {
                                 return definition.config_of(old_.config_json, *old_.module);
                               }));
    } else if (old_.resized) {
      return absl::FailedPreconditionError(absl::StrCat("sizes changed, and a ", definition.name,
                                                        " has no config_of that tells them"));
    }
    WANLITE_ASSIGN_OR_RETURN(now_.config_json, definition.edit_config(now_.config_json, edit));
    now_.resized = false;
    for (const auto& [name, units] : edit.units) {
      const AxisGroup& group = view_.index.groups[view_.index.group_index.at(Full(name))];
      if (units == group.units) continue;
      now_.unit_origin.try_emplace(OriginalGroupName(view_.index, old_, group), group.units);
    }
    if (!edit.drop_blocks.empty()) {
      int64_t blocks = 0;
      for (const BlockInfo& block : view_.index.blocks) {
        const bool own =
            view_.index.component_names[view_.index.ComponentOf(block.path)] == old_.name;
        if (own && block.path != (old_.name.empty() ? "root" : old_.name)) ++blocks;
      }
      now_.unit_origin.try_emplace("blocks", blocks);
    }
    {
      const nn::HollowGuard hollow;
      WANLITE_ASSIGN_OR_RETURN(now_.module,
                               CatchTorch([&] { return definition.build(now_.config_json); }));
    }
    if (now_.module == nullptr) {
      return absl::InternalError(absl::StrCat(definition.name, ": build gave no module"));
    }
    now_.module->train(old_.module->is_training());
    return absl::OkStatus();
  }

  // Finds which block is which, and where the values of each old one come from.
  absl::Status MapBlocks() {
    old_names_ = NamesAfterDrop(old_blocks_, dropped_);
    std::map<std::string, std::string> old_origin;
    for (const BlockInfo& block : view_.index.blocks) {
      old_origin[block.path] = Inside(block.origin);
    }
    now_.block_origin.clear();
    if (!dropped_.empty() || !old_.block_origin.empty()) {
      for (const auto& [block, old] : old_names_) {
        now_.block_origin[block] = old_origin.at(Full(old));
      }
    }
    WANLITE_ASSIGN_OR_RETURN(index_, CatchTorch([&] { return TopologyIndex::Build({now_}); }));
    std::set<std::string> found, wanted;
    for (const BlockInfo& block : index_.blocks) {
      if (block.path != RestBlock()) found.insert(Inside(block.path));
    }
    for (const auto& [block, old] : old_names_) wanted.insert(block);
    if (found != wanted) {
      return absl::InternalError(absl::StrCat("the edited config makes ", found.size(),
                                              " blocks, the edit leaves ", wanted.size()));
    }
    for (const std::string& block : old_blocks_full_) {
      const std::vector<NamedTensor> tensors = view_.index.BlockTensors(block);
      for (const NamedTensor& named : tensors) old_block_of_[Inside(named.name)] = block;
      if (!view_.streaming) {
        bases_[block] = std::make_shared<LiveSource>(tensors, "");
      } else if (view_.CheckSource(view_.SourceOf(block), block).ok()) {
        bases_[block] = view_.SharedSourceOf(block);
      } else {
        bases_[block] = std::make_shared<LiveSource>(
            tensors, absl::StrCat(block,
                                  " was edited and its values were not kept: Rebase() it "
                                  "before it is leased"));
      }
    }
    return absl::OkStatus();
  }

  // What a path of the edited component was before, when nothing is said of it.
  std::string OldPath(const std::string& inside) const {
    const std::string& block = index_.BlockOf(Full(inside));
    if (block == RestBlock()) return inside;
    const std::string now = Inside(block);
    return absl::StrCat(old_names_.at(now), inside.substr(now.size()));
  }

  absl::StatusOr<DerivedSource::Piece> PieceOf(const TensorPiece& piece,
                                               const std::string& target) const {
    const auto block = old_block_of_.find(piece.from);
    if (block == old_block_of_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          target, " is to come from ", QuoteName(piece.from), ", which does not exist"));
    }
    return DerivedSource::Piece{bases_.at(block->second), Full(piece.from), piece.select,
                                piece.scale};
  }

  nn::Linear* OldLinear(const std::string& inside) const {
    const auto found = view_.index.linear_modules.find(Full(inside));
    return found == view_.index.linear_modules.end() ? nullptr : found->second;
  }

  // Gives linears the formats that they had, and derives those that are named as a whole.
  absl::Status DeriveLinears() {
    for (const auto& [full, linear] : index_.linear_modules) {
      const std::string path = Inside(full);
      const auto given = given_.find(path);
      if (given != given_.end()) {
        const absl::Status derived = DeriveLinear(path, *linear, *given->second);
        if (!derived.ok()) return Annotate(derived, path);
        given_.erase(given);
        continue;
      }
      const std::string from = OldPath(path);
      nn::Linear* old = OldLinear(from);
      if (old == nullptr || old->weight().dense() != nullptr) continue;
      WANLITE_RETURN_IF_ERROR(MoveWeight(from, old, path, linear));
    }
    return absl::OkStatus();
  }

  // A weight that stays as it is needs nothing of its format.
  absl::Status MoveWeight(const std::string& from, nn::Linear* old, const std::string& path,
                          nn::Linear* linear) {
    const LinearWeight& weight = old->weight();
    if (weight.in_features() != linear->in_features() ||
        weight.out_features() != linear->out_features()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is [", linear->out_features(), ", ", linear->in_features(),
                       "] by the edited config, what it comes from is ", weight.format(), " [",
                       weight.out_features(), ", ", weight.in_features(), "]"));
    }
    const std::shared_ptr<const TensorSource>& base = bases_.at(view_.index.BlockOf(Full(from)));
    for (const WeightTensor& state : weight.State()) {
      if (given_.contains(JoinTensorPath(path, state.name))) {
        return absl::InvalidArgumentError(absl::StrCat(
            path, " is of format ", weight.format(), ": name it as a whole, not its ", state.name));
      }
      Derive(DerivedSource::Renamed(JoinTensorPath(Full(path), state.name), base,
                                    JoinTensorPath(Full(from), state.name)));
    }
    moves_.emplace_back(old, linear);
    moved_.insert(Full(path));
    return absl::OkStatus();
  }

  // The tensors of the new module, without those that moved weights will take the place of.
  std::vector<NamedTensor> NewTensors() const {
    std::vector<NamedTensor> tensors = index_.Tensors();
    std::erase_if(tensors, [&](const NamedTensor& named) {
      return moved_.contains(std::string(ParentPath(named.name))) &&
             !absl::EndsWith(named.name, ".bias");
    });
    return tensors;
  }

  static absl::StatusOr<std::unique_ptr<LinearWeight>> HollowWeight(
      const std::string& path, const LinearWeight& weight,
      const std::vector<AxisSelection>& select) {
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const LinearWeight> whole,
                             CatchTorch([&] { return HollowCopy(path, weight); }));
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> cut,
                               whole->Select(0, at::arange(whole->out_features(), at::kLong)));
      for (const auto& [dim, index] : select) {
        WANLITE_ASSIGN_OR_RETURN(cut, cut->Select(dim, index));
      }
      return cut;
    });
  }

  static absl::Status SetWeight(const std::string& path, nn::Linear& linear,
                                std::unique_ptr<LinearWeight> weight) {
    const absl::Status set = CatchTorch([&] { linear.SetWeight(std::move(weight)); });
    if (set.ok()) return set;
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", set.message()));
  }

  absl::Status DeriveLinear(const std::string& path, nn::Linear& linear,
                            const DerivedTensor& given) {
    if (given.value.defined() || given.pieces.size() != 1 || given.pieces[0].scale != 1) {
      return absl::InvalidArgumentError(
          "a linear as a whole comes from one other, unscaled; name its tensors for more");
    }
    const TensorPiece& piece = given.pieces.front();
    const nn::Linear* old = OldLinear(piece.from);
    if (old == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("it is to come from ", QuoteName(piece.from), ", which is no linear"));
    }
    std::vector<AxisSelection> rows;
    for (const AxisSelection& select : piece.select) {
      if ((select.first != 0 && select.first != 1) || !select.second.defined() ||
          select.second.dim() != 1 || select.second.scalar_type() != at::kLong) {
        return absl::InvalidArgumentError(
            absl::StrCat("a linear has no dimension ", select.first, " or its indices are wrong"));
      }
      if (select.first == 0) rows.push_back(select);
    }
    const std::shared_ptr<const TensorSource>& base =
        bases_.at(view_.index.BlockOf(Full(piece.from)));
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> weight,
                             HollowWeight(piece.from, old->weight(), piece.select));
    std::shared_ptr<const TensorSource> from = base;
    if (!piece.select.empty()) {
      WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const LinearWeight> whole,
                               CatchTorch([&] { return HollowCopy(piece.from, old->weight()); }));
      WANLITE_ASSIGN_OR_RETURN(from,
                               SelectedWeightSource(base, Full(piece.from), whole, piece.select));
    }
    for (const WeightTensor& state : weight->State()) {
      Derive(DerivedSource::Renamed(JoinTensorPath(Full(path), state.name), from,
                                    JoinTensorPath(Full(piece.from), state.name)));
    }
    WANLITE_RETURN_IF_ERROR(SetWeight(path, linear, std::move(weight)));
    if (!linear.bias().has_value()) return absl::OkStatus();
    if (!old->bias().has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("it has a bias, ", piece.from, " has none"));
    }
    const std::string bias = JoinTensorPath(Full(path), "bias");
    Derive({bias, {{base, JoinTensorPath(Full(piece.from), "bias"), rows}}});
    return absl::OkStatus();
  }

  void Derive(DerivedSource::Entry entry) {
    derived_.insert(entry.name);
    entries_.push_back(std::move(entry));
  }

  absl::Status DeriveTensors() {
    for (const NamedTensor& named : NewTensors()) {
      if (derived_.contains(named.name)) continue;
      const std::string path = Inside(named.name);
      DerivedSource::Entry entry;
      entry.name = named.name;
      const auto given = given_.find(path);
      if (given == given_.end()) {
        WANLITE_ASSIGN_OR_RETURN(DerivedSource::Piece piece, PieceOf({OldPath(path)}, path));
        entry.pieces.push_back(std::move(piece));
      } else {
        for (const TensorPiece& part : given->second->pieces) {
          WANLITE_ASSIGN_OR_RETURN(DerivedSource::Piece piece, PieceOf(part, path));
          entry.pieces.push_back(std::move(piece));
        }
        entry.cat_dim = given->second->cat_dim;
        entry.value = given->second->value;
        entry.add = given->second->add;
        given_.erase(given);
      }
      Derive(std::move(entry));
    }
    return absl::OkStatus();
  }

  // The shapes that the config asks for must be those that there are; dtypes are those there are.
  absl::Status TakeShapes(const TensorSource& source) {
    const nn::HollowGuard hollow;
    const at::NoGradGuard no_grad;
    for (const NamedTensor& named : NewTensors()) {
      const TensorInfo& info = *source.Find(named.name);
      const at::ScalarType dtype = named.tensor.scalar_type();
      if (named.tensor.sizes() != at::IntArrayRef(info.shape) ||
          (dtype != info.dtype && !(at::isFloatingType(dtype) && at::isFloatingType(info.dtype)))) {
        return absl::InvalidArgumentError(absl::StrCat(
            Inside(named.name), " is ", DtypeName(dtype), " ", ShapeText(named.tensor.sizes()),
            " by the edited config, what it comes from gives ", DtypeName(info.dtype), " ",
            ShapeText(info.shape)));
      }
      if (dtype == info.dtype) continue;
      WANLITE_RETURN_IF_ERROR(
          CatchTorch([&] { named.tensor.set_data(nn::NewTensor(info.shape, info.dtype)); }));
    }
    return absl::OkStatus();
  }

  absl::Status Fill(const TensorSource& source) {
    const at::NoGradGuard no_grad;
    for (const NamedTensor& named : NewTensors()) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, source.Read(named.name));
      WANLITE_RETURN_IF_ERROR(CatchTorch([&] { named.tensor.set_data(value); }));
    }
    return absl::OkStatus();
  }

  const ModelView::Rep& view_;
  const size_t number_;
  const Component& old_;
  std::vector<std::string> old_blocks_full_;  // the rest first
  std::vector<std::string> old_blocks_;       // without the rest
  std::set<std::string> dropped_;
  std::map<std::string, std::string> old_names_;                      // block now -> block before
  std::map<std::string, std::string> old_block_of_;                   // tensor -> its block, full
  std::map<std::string, std::shared_ptr<const TensorSource>> bases_;  // by old block, full
  Component now_;
  TopologyIndex index_;                                // of now_ alone
  std::map<std::string, const DerivedTensor*> given_;  // and not used yet
  std::vector<std::pair<nn::Linear*, nn::Linear*>> moves_;
  std::set<std::string> moved_;    // linears of the new module, full
  std::set<std::string> derived_;  // full
  std::vector<DerivedSource::Entry> entries_;
};

}  // namespace

absl::StatusOr<ModelView::Rep::Rebuilt> ModelView::Rep::PrepareRebuild(
    absl::string_view component, const StructureEdit& edit,
    const std::vector<DerivedTensor>& tensors) const {
  for (size_t i = 0; i < components.size(); ++i) {
    if (components[i].name != component) continue;
    absl::StatusOr<Rebuilt> rebuilt = Rebuilder(*this, i).Run(edit, tensors);
    if (!rebuilt.ok() && !component.empty()) return Annotate(rebuilt.status(), component);
    return rebuilt;
  }
  return absl::NotFoundError(absl::StrCat("the model has no component '", component, "'"));
}

namespace {

// Puts the weights of the old modules into the new ones, all or none.
absl::Status MoveWeights(const std::vector<ModelView::Rep::Rebuilt>& rebuilt) {
  std::vector<std::pair<nn::Linear*, nn::Linear*>> done;
  const auto move = [](nn::Linear* from, nn::Linear* to) {
    std::unique_ptr<LinearWeight> hollow;
    {
      const nn::HollowGuard guard;
      hollow = MakeDenseWeight(nn::NewTensor({from->out_features(), from->in_features()}));
    }
    to->SetWeight(from->SetWeight(std::move(hollow)));
  };
  const absl::Status moved = CatchTorch([&] {
    for (const ModelView::Rep::Rebuilt& one : rebuilt) {
      for (const auto& [from, to] : one.moves) {
        move(from, to);
        done.emplace_back(from, to);
      }
    }
  });
  if (moved.ok()) return moved;
  const absl::Status undone = CatchTorch([&] {
    for (const auto& [from, to] : done) move(to, from);
  });
  return undone.ok() ? moved : undone;
}

}  // namespace

absl::Status ModelView::Rep::Commit(std::vector<Rebuilt> rebuilt) {
  std::vector<Component> edited = components;
  for (const Rebuilt& one : rebuilt) edited[one.component] = one.now;
  WANLITE_ASSIGN_OR_RETURN(TopologyIndex edited_index,
                           CatchTorch([&] { return TopologyIndex::Build(edited); }));
  WANLITE_RETURN_IF_ERROR(MoveWeights(rebuilt));
  for (Rebuilt& one : rebuilt) {
    std::erase_if(block_sources, [&](const auto& entry) {
      return index.ComponentOf(entry.first) == one.component;
    });
  }
  for (Rebuilt& one : rebuilt) {
    for (auto& [block, from] : one.sources) block_sources[block] = std::move(from);
  }
  components = std::move(edited);
  index = std::move(edited_index);
  return absl::OkStatus();
}

absl::Status ModelView::Rebuild(absl::string_view component, const StructureEdit& edit,
                                const std::vector<DerivedTensor>& tensors) {
  WANLITE_ASSIGN_OR_RETURN(Rep::Rebuilt rebuilt, rep_->PrepareRebuild(component, edit, tensors));
  std::vector<Rep::Rebuilt> all;
  all.push_back(std::move(rebuilt));
  return rep_->Commit(std::move(all));
}

absl::Status ModelView::RemoveComponent(absl::string_view component) {
  if (FindComponent(component) == nullptr) {
    return absl::NotFoundError(absl::StrCat("the model has no component ", QuoteName(component)));
  }
  if (rep_->components.size() == 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(component, " is all that there is of the model and cannot be taken out"));
  }
  if (!rep_->leased.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        component, " cannot be taken out while the block ", *rep_->leased.begin(), " is leased"));
  }
  std::vector<Component> left;
  for (const Component& one : rep_->components) {
    if (one.name != component) left.push_back(one);
  }
  WANLITE_ASSIGN_OR_RETURN(TopologyIndex index,
                           CatchTorch([&] { return TopologyIndex::Build(left); }));
  std::erase_if(rep_->block_sources,
                [&](const auto& entry) { return !index.block_index.contains(entry.first); });
  rep_->components = std::move(left);
  rep_->index = std::move(index);
  return absl::OkStatus();
}

absl::Status ModelView::DropBlocks(absl::Span<const std::string> blocks) {
  std::map<size_t, StructureEdit> edits;
  for (const std::string& block : blocks) {
    if (!rep_->index.block_index.contains(block)) {
      return absl::NotFoundError(absl::StrCat("the model has no block ", QuoteName(block)));
    }
    const size_t component = rep_->index.ComponentOf(block);
    absl::string_view inside = block;
    const std::string& name = rep_->components[component].name;
    if (!name.empty()) absl::ConsumePrefix(&inside, absl::StrCat(name, "."));
    edits[component].drop_blocks.emplace_back(inside);
  }
  std::vector<Rep::Rebuilt> all;
  for (const auto& [component, edit] : edits) {
    WANLITE_ASSIGN_OR_RETURN(
        Rep::Rebuilt rebuilt,
        rep_->PrepareRebuild(rep_->components[component].name, edit, /*tensors=*/{}));
    all.push_back(std::move(rebuilt));
  }
  return rep_->Commit(std::move(all));
}

}  // namespace wanlite
