// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/doctor/doctor.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/doctor/smoothing.h"
#include "src/model/block_steps.h"
#include "src/model/float32_block.h"
#include "src/proto/manifest.pb.h"
#include "src/proto/quant.pb.h"
#include "wanlite/block_program.h"
#include "wanlite/linear_tap.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Rows of a layer's input that are looked at.
constexpr int64_t kRows = 256;
// A block whose layers are all within their bands, or an output: beyond this nobody would call it
// the same model.
constexpr double kBlockBand = 0.5;

// A component of one of the two models.
class Side {
 public:
  static absl::StatusOr<Side> Open(const ModelFolder& folder, const std::string& component) {
    WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView({component}));
    Side side(std::move(view), component);
    const Component& found = side.component();
    if (ProgramOf(found) == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(folder.dir(), ": ", component, " has no program to run it block by block"));
    }
    side.parts = BlockStepsOf(found);
    for (const BlockInfo& block : side.view.blocks()) side.origins[block.path] = block.origin;
    return side;
  }

  const Component& component() const { return *view.FindComponent(name); }
  // The same in both models, whatever the block is called now: its origin, and for the component's
  // rest which end it is at.
  std::string KeyOf(size_t part) const {
    const std::string& block = parts[part].block;
    if (block != BlockPath(component(), {})) return origins.at(block);
    return absl::StrCat(block, part == 0 ? " before" : " behind");
  }
  void Run(size_t part, Values& values) const { parts[part].Run(*ProgramOf(component()), values); }

  ModelView view;
  std::string name;
  std::vector<BlockSteps> parts;
  std::map<std::string, std::string> origins;  // of blocks

 private:
  Side(ModelView view, std::string name) : view(std::move(view)), name(std::move(name)) {}
};

// Whether inputs of the component may have been smoothed between the two models, as far as the
// lineage tells. Where it says that they were not, nothing is read off the weights: the noise of
// few bits looks like divisors.
bool MayBeSmoothed(const ModelFolder& original, const ModelFolder& compressed,
                   const Component& component) {
  const std::shared_ptr<const Manifest> after = compressed.manifest(), before = original.manifest();
  // Made by another program, or saved without a pass.
  if (after == nullptr || after->lineage().empty()) return true;
  const int known = before == nullptr ? 0 : before->lineage_size();
  for (int i = std::min(known, after->lineage_size()); i < after->lineage_size(); ++i) {
    const LineageEntry& entry = after->lineage(i);
    if (entry.pass() != "smooth") continue;
    SmoothOptions options;
    if (!ParseTextProto(entry.options_text(), compressed.dir(), options).ok()) return true;
    const LinearFilter filter = FilterOf(options.linears());
    if (filter.components.empty()
            ? component.role == ComponentRole::kDenoiser || !filter.include.empty()
            : AnyGlobMatches(filter.components, component.name)) {
      return true;
    }
  }
  return false;
}

struct Difference {
  double error = 0, cosine = 1;
};

Difference Compare(const at::Tensor& found, const at::Tensor& wanted) {
  const at::Tensor a = found.to(at::kDouble).flatten(), b = wanted.to(at::kDouble).flatten();
  const double error = (a - b).norm().item<double>(), size = b.norm().item<double>();
  const double sizes = a.norm().item<double>() * size;
  Difference difference;
  difference.error = size > 0 ? error / size : (error > 0 ? INFINITY : 0);
  difference.cosine = sizes > 0 ? a.dot(b).item<double>() / sizes : (error > 0 ? 0 : 1);
  return difference;
}

bool Comparable(const Values& a, const Values& b, const std::string& name) {
  const auto x = a.find(name), y = b.find(name);
  return x != a.end() && y != b.end() && x->second.defined() && y->second.defined() &&
         x->second.is_floating_point() && x->second.sizes() == y->second.sizes();
}

// What `found` does to the worst of the values that a part changes. `before`: the values that both
// started from, to compare what was added rather than what was there; may be null.
void CompareValues(const std::set<std::string>& names, const Values& found, const Values& wanted,
                   const Values* before, double& error, double& cosine, bool& compared) {
  compared = false;
  error = 0;
  cosine = 1;
  for (const std::string& name : names) {
    if (!Comparable(found, wanted, name)) continue;
    compared = true;
    at::Tensor a = found.at(name).to(at::kDouble), b = wanted.at(name).to(at::kDouble);
    if (before != nullptr && Comparable(*before, wanted, name)) {
      a = a - before->at(name);
      b = b - before->at(name);
    }
    const Difference difference = Compare(a, b);
    // A NaN is no larger than anything, and is worse than all.
    if (!(difference.error <= error)) error = difference.error;
    if (!(difference.cosine >= cosine)) cosine = difference.cosine;
  }
}

double LargestOf(const std::set<std::string>& names, const Values& values, bool& finite) {
  double largest = 0;
  for (const std::string& name : names) {
    const auto value = values.find(name);
    if (value == values.end() || !value->second.defined() || !value->second.is_floating_point() ||
        value->second.numel() == 0) {
      continue;
    }
    const at::Tensor magnitudes = value->second.to(at::kFloat).abs();
    if (!magnitudes.isfinite().all().item<bool>()) finite = false;
    largest = std::max(largest, magnitudes.nan_to_num(0, 0, 0).max().item<double>());
  }
  return largest;
}

class ComponentExam {
 public:
  ComponentExam(Side& original, Side& compressed, bool may_be_smoothed, const DoctorCase& given,
                const DoctorOptions& options)
      : original_(original),
        compressed_(compressed),
        may_be_smoothed_(may_be_smoothed),
        given_(given),
        options_(options) {}

  absl::StatusOr<ComponentCheck> Run(Values inputs, std::vector<Finding>& findings) {
    check_.name = given_.component;
    check_.description = given_.description;
    WANLITE_RETURN_IF_ERROR(Pair());
    WANLITE_RETURN_IF_ERROR(FindSmoothing());
    reference_ = inputs;
    now_ = std::move(inputs);
    progress().Begin(absl::StrCat("doctor: ", given_.component),
                     static_cast<int64_t>(original_.parts.size()));
    std::vector<std::string> dropped;
    for (size_t part = 0; part < original_.parts.size(); ++part) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options_.cancel));
      const std::string& block = original_.parts[part].block;
      if (!partner_.contains(part)) dropped.push_back(block);
      const absl::Status done = CatchTorch([&] { return Step(part, dropped, findings); });
      if (!done.ok()) return Annotate(done, block);
      if (partner_.contains(part)) dropped.clear();
      progress().Update(static_cast<int64_t>(part) + 1, block);
    }
    progress().End();
    Outputs(findings);
    if (smoothing_.has_value()) check_.smoothed = smoothing_->count();
    return std::move(check_);
  }
  // What the original made of the inputs.
  const Values& reference() const { return reference_; }

 private:
  ProgressSink& progress() const {
    return options_.progress != nullptr ? *options_.progress : SilentProgress();
  }

  absl::Status Pair() {
    if (original_.component().architecture != compressed_.component().architecture) {
      return absl::FailedPreconditionError(absl::StrCat(
          given_.component, " is ", original_.component().architecture, " in the original and ",
          compressed_.component().architecture, " in the compressed model"));
    }
    std::map<std::string, size_t> by_key;
    for (size_t part = 0; part < original_.parts.size(); ++part) {
      by_key[original_.KeyOf(part)] = part;
    }
    size_t next = 0;
    for (size_t part = 0; part < compressed_.parts.size(); ++part) {
      const auto found = by_key.find(compressed_.KeyOf(part));
      if (found == by_key.end() || found->second < next) {
        return absl::FailedPreconditionError(
            absl::StrCat(compressed_.parts[part].block, " of the compressed model, which was ",
                         compressed_.KeyOf(part), ", is not in the original",
                         found == by_key.end() ? "" : " at this place"));
      }
      next = found->second + 1;
      partner_[found->second] = part;
    }
    return absl::OkStatus();
  }

  // Path in the compressed model of what has this one in the original.
  std::string PathNow(const std::string& path) const {
    const std::string& block = original_.view.BlockOf(path);
    for (const auto& [part, partner] : partner_) {
      if (original_.parts[part].block != block) continue;
      return absl::StrCat(compressed_.parts[partner].block, path.substr(block.size()));
    }
    return "";
  }
  // The compressed model's name of a block of the original; empty where it was dropped.
  std::string BlockNow(const std::string& block) const {
    for (const auto& [part, partner] : partner_) {
      if (original_.parts[part].block == block) return compressed_.parts[partner].block;
    }
    return "";
  }

  absl::Status FindSmoothing() {
    if (!may_be_smoothed_) return absl::OkStatus();
    smoothing_.emplace(original_.view, compressed_.view, original_.component(),
                       [this](const std::string& path) { return PathNow(path); });
    for (const std::string& block : smoothing_->BlocksToRead()) {
      const std::string now = BlockNow(block);
      if (now.empty()) continue;
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, original_.view.Lease(block));
      WANLITE_ASSIGN_OR_RETURN(const BlockLease other, compressed_.view.Lease(now));
      const absl::Status read = CatchTorch([&] { smoothing_->Read(block); });
      if (!read.ok()) return Annotate(read, block);
    }
    return absl::OkStatus();
  }

  absl::Status Step(size_t part, const std::vector<std::string>& dropped,
                    std::vector<Finding>& findings) {
    const at::NoGradGuard no_grad;
    const Values before = reference_;
    InputKeeper inputs(kRows);
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease,
                             original_.view.Lease(original_.parts[part].block));
    const auto partner = partner_.find(part);
    std::optional<BlockLease> other;
    if (partner != partner_.end()) {
      const std::string& now = compressed_.parts[partner->second].block;
      WANLITE_ASSIGN_OR_RETURN(BlockLease taken, compressed_.view.Lease(now));
      other.emplace(std::move(taken));
    }
    if (smoothing_.has_value()) WANLITE_RETURN_IF_ERROR(smoothing_->Apply(lease.block()));
    const Float32Block wide(original_.view, lease.block());
    {
      WANLITE_ASSIGN_OR_RETURN(const TapGuard tap,
                               TapLinears(original_.view, lease.block(), inputs));
      original_.Run(part, reference_);
    }
    if (!other.has_value()) return absl::OkStatus();
    const BlockSteps& now = compressed_.parts[partner->second];
    const Float32Block other_wide(compressed_.view, now.block);

    const size_t known = findings.size(), first_layer = check_.layers.size();
    WANLITE_RETURN_IF_ERROR(CheckLayers(lease, *other, inputs, findings));
    // The component's rest is looked at once, at its first step.
    if (partner->second == 0 || now.block != BlockPath(compressed_.component(), {})) {
      CheckTensors(lease, *other, findings);
    }
    BlockCheck block;
    block.path = now.block;
    block.original = lease.block();
    block.dropped = dropped;
    block.first_layer = first_layer;
    block.layers = check_.layers.size() - first_layer;
    const std::set<std::string>& changes = original_.parts[part].changes;
    bool own_compared = false;
    {
      Values own = before;
      // Widths that differ make no sense of the original's input.
      const absl::Status ran = CatchTorch([&] { compressed_.Run(partner->second, own); });
      double cosine = 1;
      if (ran.ok()) {
        CompareValues(changes, own, reference_, &before, block.own_error, cosine, own_compared);
      }
    }
    compressed_.Run(partner->second, now_);
    CompareValues(changes, now_, reference_, nullptr, block.error, block.cosine, block.compared);
    bool original_finite = true;
    block.max_original = LargestOf(changes, reference_, original_finite);
    block.max_compressed = LargestOf(changes, now_, block.finite);
    if (!original_finite) {
      return absl::FailedPreconditionError(
          "the original itself makes a NaN or an infinity here; there is nothing to compare with");
    }
    if (findings.size() == known) JudgeBlock(block, own_compared, findings);
    check_.blocks.push_back(std::move(block));
    return absl::OkStatus();
  }

  void JudgeBlock(const BlockCheck& block, bool own_compared,
                  std::vector<Finding>& findings) const {
    const bool at_fault = own_compared && !(block.own_error <= kBlockBand);
    if (!block.finite && (findings.empty() || at_fault)) {
      findings.push_back({block.path, "its output holds NaN or infinity, on finite weights",
                          absl::StrCat("what runs between its layers overflows: magnitudes reach ",
                                       absl::StrFormat("%.3g", block.max_compressed), " (",
                                       absl::StrFormat("%.3g", block.max_original),
                                       " in the original); fp16 ends at 65504")});
    } else if (at_fault) {
      findings.push_back(
          {block.path,
           absl::StrFormat("adds something else than the original does to the same input: error "
                           "%.3g, band %.2g",
                           block.own_error, kBlockBand),
           "each of its layers and tensors is within its band: many of them err the same way, or "
           "too much of the block was pruned"});
    }
  }

  absl::Status CheckLayers(const BlockLease& lease, const BlockLease& other,
                           const InputKeeper& inputs, std::vector<Finding>& findings) {
    std::vector<std::pair<std::string, const LinearWeight*>> wanted;
    std::map<std::string, const LinearWeight*> by_path;
    for (const LinearInfo& linear : original_.view.linears()) {
      if (linear.block != lease.block()) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, original_.view.Weight(linear.path));
      wanted.emplace_back(linear.path, weight);
      by_path[linear.path] = weight;
    }
    for (const LinearInfo& linear : compressed_.view.linears()) {
      if (linear.block != other.block()) continue;
      const std::string path =
          absl::StrCat(lease.block(), linear.path.substr(other.block().size()));
      const auto seen = inputs.seen.find(path);
      const bool checked =
          std::any_of(check_.layers.begin(), check_.layers.end(),
                      [&](const LayerCheck& layer) { return layer.path == linear.path; });
      // The rest comes by twice, with some of its layers each time.
      const bool is_rest = other.block() == BlockPath(compressed_.component(), {});
      if (checked || (is_rest && seen == inputs.seen.end())) continue;
      LayerPair pair;
      pair.path = linear.path;
      WANLITE_ASSIGN_OR_RETURN(pair.weight, compressed_.view.Weight(linear.path));
      const auto found = by_path.find(path);
      pair.original = found == by_path.end() ? nullptr : found->second;
      pair.input = seen == inputs.seen.end() ? nullptr : &seen->second;
      for (const auto& candidate : wanted) {
        if (candidate.first != path) pair.others.push_back(candidate);
      }
      LayerCheck layer = CheckLayer(pair);
      if (!layer.healthy()) findings.push_back({layer.path, LayerText(layer), layer.cause});
      check_.layers.push_back(std::move(layer));
    }
    return absl::OkStatus();
  }

  void CheckTensors(const BlockLease& lease, const BlockLease& other,
                    std::vector<Finding>& findings) {
    std::map<std::string, at::Tensor> wanted;
    for (const NamedTensor& named : lease.State()) wanted[named.name] = named.tensor;
    std::set<std::string> of_weights;
    for (const LinearInfo& linear : compressed_.view.linears()) {
      if (linear.block != other.block()) continue;
      const absl::StatusOr<const LinearWeight*> weight = compressed_.view.Weight(linear.path);
      if (!weight.ok()) continue;
      for (const WeightTensor& state : (*weight)->State()) {
        of_weights.insert(absl::StrCat(linear.path, ".", state.name));
      }
    }
    for (const NamedTensor& named : other.State()) {
      if (of_weights.contains(named.name)) continue;
      const auto original =
          wanted.find(absl::StrCat(lease.block(), named.name.substr(other.block().size())));
      if (original == wanted.end()) continue;
      TensorCheck tensor = CheckTensor(named.name, named.tensor, original->second);
      if (tensor.error == 0 && tensor.finite) continue;
      if (!tensor.cause.empty()) {
        findings.push_back(
            {tensor.path,
             tensor.finite ? absl::StrFormat("error %.3g, band %.2g", tensor.error, tensor.band)
                           : "not finite",
             tensor.cause});
      }
      check_.tensors.push_back(std::move(tensor));
    }
  }

  static std::string LayerText(const LayerCheck& layer) {
    std::string text = layer.finite
                           ? absl::StrFormat("error %.3g, band %.2g; ", layer.error, layer.band)
                           : std::string("not finite; ");
    absl::StrAppend(&text, layer.format, absl::StrFormat(", %.3g bits a weight", layer.bits));
    for (const ScaleRange& scale : layer.scales) {
      absl::StrAppend(&text, "; ", scale.name,
                      absl::StrFormat(" %.3g to %.3g", scale.least, scale.most));
      if (scale.zeros > 0) absl::StrAppend(&text, ", ", scale.zeros, " of ", scale.count, " zero");
      if (scale.broken > 0) absl::StrAppend(&text, ", ", scale.broken, " broken");
    }
    if (layer.compared) {
      absl::StrAppend(&text, absl::StrFormat("; matrix %.3g off, %d of %d output channels out",
                                             layer.weight_error, layer.wrong_rows, layer.rows));
      absl::StrAppend(&text, absl::StrFormat("; inputs up to %.3g, %.3g times the median channel",
                                             layer.input_max, layer.outlier_ratio));
    }
    // One code of every token is at its limit where each has a scale of its own.
    if (layer.static_input) {
      absl::StrAppend(&text, absl::StrFormat(", %.2g %% of their codes at the limit",
                                             100 * layer.saturated_inputs));
    }
    return text;
  }

  void Outputs(std::vector<Finding>& findings) {
    const std::string name = ProgramOf(original_.component())->Output();
    CompareValues({name}, now_, reference_, nullptr, check_.output_error, check_.output_cosine,
                  check_.output_compared);
    const bool own = std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return absl::StartsWith(finding.path, absl::StrCat(check_.name, "."));
    });
    if (!check_.output_compared || check_.output_error <= kBlockBand || own) return;
    findings.push_back(
        {check_.name,
         absl::StrFormat("its output is off by %.3g, band %.2g", check_.output_error, kBlockBand),
         "every layer and block is within its band, and together they are too much: fewer layers "
         "in "
         "the coarsest format, blocks that were dropped without training, or training after it"});
  }

  Side& original_;
  Side& compressed_;
  const bool may_be_smoothed_;
  const DoctorCase& given_;
  const DoctorOptions& options_;
  std::optional<Smoothing> smoothing_;  // none where nothing may be smoothed
  std::map<size_t, size_t> partner_;    // part of the original -> of the compressed model
  Values reference_, now_;
  ComponentCheck check_;
};

absl::Status RunAlone(Side& side, Values& values, const CancellationToken* cancel) {
  const at::NoGradGuard no_grad;
  for (size_t part = 0; part < side.parts.size(); ++part) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, side.view.Lease(side.parts[part].block));
    WANLITE_RETURN_IF_ERROR(Annotate(CatchTorch([&] {
                                       const Float32Block wide(side.view, lease.block());
                                       side.Run(part, values);
                                     }),
                                     side.parts[part].block));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DoctorReport> Diagnose(const ModelFolder& original, const ModelFolder& compressed,
                                      const DoctorOptions& options) {
  DoctorReport report;
  report.original = original.dir();
  report.compressed = compressed.dir();
  at::Tensor text;  // of the last text encoder
  for (const DoctorCase& given : options.cases) {
    WANLITE_ASSIGN_OR_RETURN(Side before, Side::Open(original, given.component));
    Values inputs = given.inputs;
    if (!given.text_input.empty()) {
      if (!text.defined()) {
        return absl::InternalError(
            absl::StrCat(given.component, ": no text encoder came before it"));
      }
      inputs[given.text_input] = text;
    }
    Values reference;
    if (const absl::Status has = compressed.CheckHas(given.component); has.ok()) {
      WANLITE_ASSIGN_OR_RETURN(Side after, Side::Open(compressed, given.component));
      ComponentExam exam(before, after, MayBeSmoothed(original, compressed, before.component()),
                         given, options);
      WANLITE_ASSIGN_OR_RETURN(ComponentCheck check, exam.Run(std::move(inputs), report.findings));
      report.components.push_back(std::move(check));
      reference = exam.reference();
    } else {
      report.notes.push_back(absl::StrCat(given.component, " is left out: ", has.message()));
      if (before.component().role != ComponentRole::kTextEncoder) continue;
      reference = std::move(inputs);
      WANLITE_RETURN_IF_ERROR(RunAlone(before, reference, options.cancel));
    }
    const auto mask = reference.find("attention_mask");
    if (before.component().role == ComponentRole::kTextEncoder && mask != reference.end()) {
      const at::Tensor& output = reference.at(ProgramOf(before.component())->Output());
      text = output * mask->second.unsqueeze(-1).to(output.scalar_type());
    }
  }
  if (report.components.empty()) {
    return absl::FailedPreconditionError("no network to look at: there are inputs of none");
  }
  return report;
}

absl::StatusOr<std::vector<DoctorCase>> CasesOfSamples(const SampleSet& samples,
                                                       const std::vector<std::string>& components) {
  std::vector<DoctorCase> cases;
  for (const std::string& component : components) {
    const int64_t size = samples.size(component);
    if (size == 0) continue;
    const int64_t number = size / 2;
    const SampleInfo& sample = samples.sample(component, number);
    DoctorCase made;
    made.component = component;
    WANLITE_ASSIGN_OR_RETURN(made.inputs, samples.Read(component, number));
    made.description = absl::StrCat("recorded pass ", number);
    if (sample.step >= 0) {
      absl::StrAppend(&made.description, ", step ", sample.step, ", timestep ", sample.timestep);
    }
    if (!sample.branch.empty()) absl::StrAppend(&made.description, ", ", sample.branch);
    cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace wanlite
