// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/student.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/rest_block.h"
#include "src/model/tensor_text.h"
#include "wanlite/architecture.h"
#include "wanlite/model_library.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

enum StudentStream : uint64_t { kStudentValues = 1 };

std::vector<std::string> DenoisersOf(const ModelView& model) {
  std::vector<std::string> names;
  for (const Component& component : model.components()) {
    if (component.role == ComponentRole::kDenoiser) names.push_back(component.name);
  }
  return names;
}

// Paths of a component's blocks in forward order, without its rest.
std::vector<std::string> BlocksOf(const ModelView& model, const std::string& component) {
  std::vector<std::string> paths;
  for (const BlockInfo& block : model.blocks()) {
    if (model.ComponentOf(block.path).name == component && block.path != RestBlock(component)) {
      paths.push_back(block.path);
    }
  }
  return paths;
}

// The path inside its component; empty for the component itself.
std::string PathInComponent(const std::string& component, const std::string& path) {
  if (path == RestBlock(component)) return "";
  return component.empty() ? path : path.substr(component.size() + 1);
}

// A component's blocks by what they were called in the first place, inside the component.
std::map<std::string, std::string> BlocksByOrigin(const ModelView& model,
                                                  const std::string& component) {
  std::map<std::string, std::string> blocks;
  for (const BlockInfo& block : model.blocks()) {
    if (model.ComponentOf(block.path).name != component) continue;
    blocks[PathInComponent(component, block.origin)] = block.path;
  }
  return blocks;
}

// "dense" and the like of a component's weights, by paths inside it.
absl::StatusOr<std::map<std::string, std::string>> FormatsOf(const ModelView& model,
                                                             const std::string& component) {
  std::map<std::string, std::string> formats;
  for (const LinearInfo& linear : model.weights()) {
    if (model.ComponentOf(linear.path).name != component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    formats[PathInComponent(component, linear.path)] =
        absl::StrCat(weight->format(), " ", weight->attributes());
  }
  return formats;
}

// OK when two components have the same blocks, tensors and formats, so that the values of one fit
// into the other.
absl::Status CheckTwins(const ModelView& model, const std::string& first,
                        const std::string& second) {
  const auto blocks = [&](const std::string& name) {
    std::string text;
    for (const auto& [origin, path] : BlocksByOrigin(model, name)) {
      absl::StrAppend(&text, origin, "=", PathInComponent(name, path), " ");
    }
    return text;
  };
  if (blocks(first) != blocks(second)) {
    return absl::InvalidArgumentError(absl::StrCat(
        first, " and ", second,
        " have not kept the same blocks, so that their values do not belong together"));
  }
  std::map<std::string, std::string> texts[2];
  for (const NamedTensor& named : model.Tensors()) {
    const std::string& name = model.ComponentOf(named.name).name;
    if (name != first && name != second) continue;
    texts[name == second][PathInComponent(name, named.name)] = TensorText(named.tensor);
  }
  for (const auto& [path, text] : texts[0]) {
    const auto other = texts[1].find(path);
    if (other != texts[1].end() && other->second == text) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(first, ".", path, " is ", text, ", that of ", second, " is ",
                     other == texts[1].end() ? std::string("missing") : other->second,
                     ": only experts of the same sizes give their values to one network"));
  }
  WANLITE_ASSIGN_OR_RETURN(const auto own, FormatsOf(model, first));
  WANLITE_ASSIGN_OR_RETURN(const auto others, FormatsOf(model, second));
  if (own == others && texts[0].size() == texts[1].size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(first, " and ", second, " hold their weights in different formats"));
}

class Student : public BlockPass {
 public:
  // options: resolved.
  explicit Student(const StudentOptions& options) : options_(options) {}

  absl::string_view name() const override { return "student"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    PassNotes plan;
    WANLITE_RETURN_IF_ERROR(PlanExperts(model, plan));
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, Components(model));
    for (const std::string& component : names) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> kept, Kept(model, component));
      const auto all = static_cast<int64_t>(BlocksOf(model, component).size());
      if (static_cast<int64_t>(kept.size()) < all) {
        plan.notes.push_back(absl::StrCat(component, ": ", kept.size(), " of ", all,
                                          " blocks stay: ", absl::StrJoin(kept, ", ")));
      }
    }
    WANLITE_RETURN_IF_ERROR(CheckSizes(model, names));
    if (fresh()) WANLITE_RETURN_IF_ERROR(PlanFresh(model, names, plan));
    return plan;
  }

  absl::Status Restructure(ModelView& model, const Message*) const override {
    if (merges()) WANLITE_RETURN_IF_ERROR(model.RemoveComponent(DenoisersOf(model).back()));
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, Components(model));
    std::vector<std::string> gone;
    for (const std::string& component : names) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> kept, Kept(model, component));
      const std::vector<std::string> blocks = BlocksOf(model, component);
      for (size_t i = 0; i < blocks.size(); ++i) {
        if (!std::binary_search(kept.begin(), kept.end(), static_cast<int64_t>(i))) {
          gone.push_back(blocks[i]);
        }
      }
    }
    if (!gone.empty()) WANLITE_RETURN_IF_ERROR(model.DropBlocks(gone));
    for (const auto& [group, units] : NewSizes(model, names)) {
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(group, at::arange(units, at::kLong)));
    }
    return absl::OkStatus();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    if (!fresh() && !takes_second()) return false;
    const absl::StatusOr<std::vector<std::string>> names = Components(model);
    if (!names.ok()) return true;  // running it tells
    return std::find(names->begin(), names->end(), model.ComponentOf(block).name) != names->end();
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    return fresh() ? DrawValues(model, block, context) : TakeSecond(model, block, context);
  }

  std::vector<std::string> Explain(const Message*) const override {
    std::vector<std::string> notes;
    if (merges()) notes.push_back(ExpertsText());
    if (fresh()) {
      notes.push_back("values are drawn anew, as the architecture begins training from nothing");
    }
    return notes;
  }

 private:
  bool fresh() const { return options_.values() == StudentOptions::FRESH; }
  bool merges() const { return options_.experts() != StudentOptions::SEPARATE; }
  bool takes_second() const {
    return options_.experts() == StudentOptions::FROM_SECOND ||
           options_.experts() == StudentOptions::MEAN;
  }

  std::string ExpertsText() const {
    const char* begins = options_.experts() == StudentOptions::FROM_FIRST    ? "the first"
                         : options_.experts() == StudentOptions::FROM_SECOND ? "the second"
                                                                             : "the mean of both";
    return absl::StrCat("two experts become one network, which begins as ", begins);
  }

  absl::Status PlanExperts(const ModelView& model, PassNotes& plan) const {
    if (!merges()) return absl::OkStatus();
    const std::vector<std::string> denoisers = DenoisersOf(model);
    if (denoisers.size() != 2) {
      return OptionError("experts", absl::StrCat("two denoisers become one, and the model has ",
                                                 denoisers.size()));
    }
    plan.notes.push_back(absl::StrCat(ExpertsText(), ": ", denoisers[0], " takes all timesteps, ",
                                      denoisers[1], " goes"));
    if (!takes_second()) return absl::OkStatus();
    WANLITE_RETURN_IF_ERROR(CheckTwins(model, denoisers[0], denoisers[1]));
    for (const NamedTensor& named : model.Tensors()) {
      if (model.ComponentOf(named.name).name != denoisers[0]) continue;
      plan.block_scratch_bytes =
          std::max<int64_t>(plan.block_scratch_bytes, BlockBytes(model, model.BlockOf(named.name)));
      if (options_.experts() != StudentOptions::MEAN || named.tensor.requires_grad()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(named.name, " is ", TensorText(named.tensor),
                       " and no value that has a mean; merge experts before they are quantized"));
    }
    return absl::OkStatus();
  }

  absl::Status PlanFresh(const ModelView& model, const std::vector<std::string>& names,
                         PassNotes& plan) const {
    int64_t values = 0;
    for (const std::string& component : names) {
      const Component& found = *model.FindComponent(component);
      if (found.definition == nullptr || !found.definition->init_parameter) {
        return absl::UnimplementedError(
            absl::StrCat("component '", component, "': networks of architecture ",
                         found.architecture, " are not begun anew: no start values are known"));
      }
    }
    for (const LinearInfo& linear : model.weights()) {
      const std::string& name = model.ComponentOf(linear.path).name;
      if (std::find(names.begin(), names.end(), name) == names.end()) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      if (weight->dense() != nullptr) continue;
      return absl::InvalidArgumentError(absl::StrCat(linear.path, ": its weight has the format ",
                                                     std::string(weight->format()),
                                                     ", and new values are dense"));
    }
    for (const NamedTensor& named : model.Tensors()) {
      values = std::max<int64_t>(values, static_cast<int64_t>(named.tensor.nbytes()));
    }
    plan.block_scratch_bytes = values;
    plan.notes.push_back(
        "values are drawn anew: of the teacher nothing but the mapping of blocks is left");
    return absl::OkStatus();
  }

  static int64_t BlockBytes(const ModelView& model, const std::string& block) {
    int64_t bytes = 0;
    for (const NamedTensor& named : model.BlockTensors(block)) {
      bytes += static_cast<int64_t>(named.tensor.nbytes());
    }
    return bytes;
  }

  // Those that change; of experts that are merged the first.
  absl::StatusOr<std::vector<std::string>> Components(const ModelView& model) const {
    std::vector<std::string> names = DenoisersOf(model);
    if (merges() && names.size() > 1) names.resize(1);
    if (options_.components_size() > 0) {
      names.clear();
      for (int i = 0; i < options_.components_size(); ++i) {
        bool fits = false;
        for (const Component& component : model.components()) {
          if (!GlobMatch(options_.components(i), component.name)) continue;
          fits = true;
          if (std::find(names.begin(), names.end(), component.name) == names.end()) {
            names.push_back(component.name);
          }
        }
        if (fits) continue;
        return OptionError(absl::StrCat("components[", i, "]"),
                           absl::StrCat("the pattern \"", options_.components(i),
                                        "\" fits no component of the model"));
      }
    }
    if (!names.empty()) return names;
    return absl::InvalidArgumentError(
        "the model has no denoiser; name what becomes a student by components");
  }

  // Numbers of the blocks that stay, ascending.
  absl::StatusOr<std::vector<int64_t>> Kept(const ModelView& model,
                                            const std::string& component) const {
    const auto blocks = static_cast<int64_t>(BlocksOf(model, component).size());
    if (options_.keep_blocks_size() > 0) {
      if (options_.keep_blocks(options_.keep_blocks_size() - 1) >= blocks) {
        return OptionError(absl::StrCat("keep_blocks[", options_.keep_blocks_size() - 1, "]"),
                           absl::StrCat("there is no block ",
                                        options_.keep_blocks(options_.keep_blocks_size() - 1),
                                        " in ", component, ", which has ", blocks));
      }
      return std::vector<int64_t>(options_.keep_blocks().begin(), options_.keep_blocks().end());
    }
    if (!options_.has_blocks()) return MapBlocks(StudentOptions::FIRST, blocks, blocks);
    if (options_.blocks() > blocks) {
      return OptionError("blocks", absl::StrCat(options_.blocks(), " is more than the ", blocks,
                                                " blocks of ", component));
    }
    return MapBlocks(options_.mapping(), blocks, options_.blocks());
  }

  absl::Status CheckSizes(const ModelView& model, const std::vector<std::string>& names) const {
    for (int i = 0; i < options_.sizes_size(); ++i) {
      const StudentOptions::Size& size = options_.sizes(i);
      bool fits = false;
      for (const AxisGroup& group : model.groups()) {
        if (!IsOf(model, group, names) || !GlobMatch(size.kind(), group.kind)) continue;
        fits = true;
        if (size.units() <= group.units) continue;
        return OptionError(
            absl::StrCat("sizes[", i, "].units"),
            absl::StrCat(size.units(), " is more than the ", group.units, " of ", group.name));
      }
      if (fits) continue;
      return OptionError(absl::StrCat("sizes[", i, "].kind"),
                         absl::StrCat("the pattern \"", size.kind(),
                                      "\" fits no kind of axis group of the components"));
    }
    return absl::OkStatus();
  }

  static bool IsOf(const ModelView& model, const AxisGroup& group,
                   const std::vector<std::string>& names) {
    const std::string& name = model.ComponentOf(group.refs.front().tensor).name;
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  // Groups whose sizes change.
  std::vector<std::pair<std::string, int64_t>> NewSizes(
      const ModelView& model, const std::vector<std::string>& names) const {
    std::vector<std::pair<std::string, int64_t>> sizes;
    for (const AxisGroup& group : model.groups()) {
      if (!IsOf(model, group, names)) continue;
      int64_t units = group.units;
      for (const StudentOptions::Size& size : options_.sizes()) {
        if (GlobMatch(size.kind(), group.kind)) units = size.units();
      }
      if (units != group.units) sizes.emplace_back(group.name, units);
    }
    return sizes;
  }

  absl::Status DrawValues(ModelView& model, const BlockLease& block, PassContext& context) const {
    const Component& component = model.ComponentOf(block.block());
    const std::vector<BlockInfo>& blocks = model.blocks();
    uint64_t number = 0;
    while (blocks[number].path != block.block()) ++number;
    uint64_t place = 0;
    for (const NamedTensor& named : model.BlockTensors(block.block())) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      ++place;
      if (!named.tensor.requires_grad()) continue;  // no parameter: a table, say
      const at::NoGradGuard no_grad;
      const at::Tensor value = at::empty_like(named.tensor.detach());
      component.definition->init_parameter(PathInComponent(component.name, named.name), value,
                                           MixSeed(context.seed, {kStudentValues, number, place}));
      named.tensor.set_data(value);
      context.metrics["fresh_values"] += static_cast<double>(value.numel());
    }
    return absl::OkStatus();
  }

  absl::Status TakeSecond(ModelView& model, const BlockLease& block, PassContext& context) const {
    if (context.models == nullptr) {
      return absl::FailedPreconditionError(
          "the second expert's values are read from a folder, so this runs over folders alone");
    }
    WANLITE_ASSIGN_OR_RETURN(ModelView before, context.models->Open("before", {}));
    const std::string first = model.ComponentOf(block.block()).name;
    const std::string second = DenoisersOf(before).back();
    std::string origin;
    for (const auto& [name, path] : BlocksByOrigin(model, first)) {
      if (path == block.block()) origin = name;
    }
    const std::string theirs = BlocksByOrigin(before, second).at(origin);
    WANLITE_ASSIGN_OR_RETURN(const BlockLease other, before.Lease(theirs));
    const at::NoGradGuard no_grad;
    for (const NamedTensor& named : block.State()) {
      WANLITE_ASSIGN_OR_RETURN(
          const at::Tensor value,
          before.FindTensor(absl::StrCat(theirs, named.name.substr(block.block().size()))));
      at::Tensor taken = value.detach();
      if (options_.experts() == StudentOptions::MEAN) {
        taken = ((taken.to(at::kFloat) + named.tensor.detach().to(at::kFloat)) * 0.5)
                    .to(taken.scalar_type());
      } else {
        taken = taken.clone();
      }
      named.tensor.set_data(taken);
    }
    return absl::OkStatus();
  }

  const StudentOptions options_;
};

}  // namespace

std::vector<int64_t> MapBlocks(StudentOptions::Mapping mapping, int64_t blocks, int64_t count) {
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < count; ++i) {
    switch (mapping) {
      case StudentOptions::LAST:
        kept.push_back(blocks - count + i);
        break;
      case StudentOptions::UNIFORM:
        // Rounded, so that neighbours are as evenly apart as can be.
        kept.push_back(count == 1 ? 0 : (i * (blocks - 1) + (count - 1) / 2) / (count - 1));
        break;
      default:
        kept.push_back(i);
    }
  }
  return kept;
}

absl::StatusOr<std::unique_ptr<Pass>> MakeStudent(const StudentOptions& options) {
  if (!StudentOptions::Mapping_IsValid(options.mapping())) {
    return OptionError("mapping", absl::StrCat(static_cast<int>(options.mapping()),
                                               " is not UNIFORM, FIRST or LAST"));
  }
  if (!StudentOptions::Values_IsValid(options.values())) {
    return OptionError(
        "values", absl::StrCat(static_cast<int>(options.values()), " is not TEACHER or FRESH"));
  }
  if (!StudentOptions::Experts_IsValid(options.experts())) {
    return OptionError("experts",
                       absl::StrCat(static_cast<int>(options.experts()),
                                    " is not SEPARATE, FROM_FIRST, FROM_SECOND or MEAN"));
  }
  if (options.has_blocks() && options.keep_blocks_size() > 0) {
    return OptionError("keep_blocks", "and blocks are both given; wanted one of them");
  }
  if (options.has_blocks() && options.blocks() < 1) {
    return OptionError("blocks",
                       absl::StrCat(options.blocks(), " leaves nothing; wanted 1 or more"));
  }
  if (options.mapping() != StudentOptions::UNIFORM && !options.has_blocks()) {
    return OptionError("mapping", "says which of `blocks` stay, and they are missing");
  }
  for (int i = 0; i < options.keep_blocks_size(); ++i) {
    const int64_t least = i == 0 ? 0 : options.keep_blocks(i - 1) + 1;
    if (options.keep_blocks(i) >= least) continue;
    return OptionError(absl::StrCat("keep_blocks[", i, "]"),
                       absl::StrCat(options.keep_blocks(i), " is below ", least,
                                    "; wanted numbers from 0, ascending"));
  }
  const bool fresh = options.values() == StudentOptions::FRESH;
  for (int i = 0; i < options.sizes_size(); ++i) {
    if (!fresh) {
      return OptionError("sizes",
                         "are of FRESH values; which of a teacher's units stay is chosen by "
                         "prune_ffn, prune_heads and prune_width");
    }
    if (options.sizes(i).units() < 1) {
      return OptionError(absl::StrCat("sizes[", i, "].units"),
                         absl::StrCat(options.sizes(i).units(), " is not at least 1"));
    }
  }
  const bool merges = options.experts() != StudentOptions::SEPARATE;
  if (fresh && merges && options.experts() != StudentOptions::FROM_FIRST) {
    return OptionError("experts", "FRESH values come from neither expert; wanted FROM_FIRST");
  }
  if (merges && options.components_size() > 0) {
    return OptionError("components", "the two denoisers become one; leave out components");
  }
  if (!fresh && !merges && !options.has_blocks() && options.keep_blocks_size() == 0) {
    return OptionError("blocks",
                       "is missing, as are keep_blocks, values and experts: nothing would change");
  }
  return std::make_unique<Student>(options);
}

}  // namespace wanlite
