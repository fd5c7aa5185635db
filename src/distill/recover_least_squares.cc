// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method LEAST_SQUARES of the pass recover: layers are fitted again, on what the recovered
// layers before them make of the recorded inputs, to what they gave in the teacher.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/calibration/sample_tap.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/distill/recover.h"
#include "src/model/float32_block.h"
#include "src/pruning/least_squares.h"
#include "src/train/held_zeros.h"
#include "src/train/teacher_stream.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/train.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

// The parameter that is fitted, and the entries of it that may be other than zero.
struct FittedWeight {
  at::Tensor matrix;  // the live one
  at::Tensor mask;    // undefined: all
};

// Of dense and masked weights. Zeros of a matrix that has a share of them stay, as a mask's do:
// they were put there.
absl::StatusOr<FittedWeight> FittedWeightOf(const ModelView& model, const std::string& linear) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
  FittedWeight fitted;
  const bool masked = weight->format() == "masked";
  if (weight->dense() != nullptr) {
    fitted.matrix = *weight->dense();
  } else if (masked) {
    for (const WeightTensor& part : weight->State()) {
      if (part.role == WeightTensor::Role::kMask) fitted.mask = part.tensor;
      if (part.role == WeightTensor::Role::kParameter) fitted.matrix = part.tensor;
    }
  }
  if (!fitted.matrix.defined() ||
      fitted.matrix.sizes() != at::IntArrayRef({weight->out_features(), weight->in_features()})) {
    return absl::InvalidArgumentError(
        absl::StrCat(linear, ": its weight has the format ", std::string(weight->format()),
                     ", least squares fit dense and masked weights; exclude the layer or recover "
                     "before it is quantized"));
  }
  return fitted;
}

// Keeps what layers read, or what they make of it.
class RowsTap : public LinearTap {
 public:
  // outputs: of what is read, none, or by the layer's own weight and bias.
  RowsTap(const ModelView& model, std::set<std::string> paths, bool outputs)
      : model_(model), paths_(std::move(paths)), outputs_(outputs) {}

  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    if (!paths_.contains(linear.path)) return;
    at::Tensor rows = InputRows(linear, x);
    if (outputs_) {
      const absl::StatusOr<const LinearWeight*> weight = model_.Weight(linear.path);
      TORCH_CHECK(weight.ok(), std::string(weight.status().message()));
      std::optional<at::Tensor> bias;
      const absl::StatusOr<at::Tensor> own = model_.FindTensor(absl::StrCat(linear.path, ".bias"));
      if (own.ok()) bias = own->detach();
      rows = (*weight)->Apply(rows, bias).detach().to(at::kFloat);
    }
    at::Tensor& all = rows_[linear.path];
    all = all.defined() ? at::cat({all, rows}) : rows;
  }
  // Of the forward since the last call: fp32 [n, features].
  std::map<std::string, at::Tensor> Take() { return std::exchange(rows_, {}); }

 private:
  const ModelView& model_;
  const std::set<std::string> paths_;
  const bool outputs_;
  std::map<std::string, at::Tensor> rows_;
};

Values InFloat32(Values values) {
  for (auto& [name, value] : values) {
    if (value.defined() && value.is_floating_point()) value = value.to(at::kFloat);
  }
  return values;
}

class RecoverLeastSquares : public BlockPass {
 public:
  explicit RecoverLeastSquares(RecoverOptions options)
      : options_(std::move(options)), linears_(FilterOf(options_.linears())) {}

  absl::string_view name() const override { return "recover"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  std::optional<StreamOptions> activations() const override { return StreamOptions(); }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> layers, Layers(model));
    PassNotes plan;
    // Layers that read one input are fitted at once; which do is known by running them, so that all
    // of a block's that may are counted.
    std::map<std::tuple<std::string, TokenStream, int64_t>, int64_t> at_once;
    for (const LinearInfo& layer : layers) {
      WANLITE_RETURN_IF_ERROR(FittedWeightOf(model, layer.path).status());
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(layer.path));
      const int64_t in = weight->in_features() + 1, out = weight->out_features();
      // Of each: sums over the inputs and the products, the new weights. Of one after the other:
      // the sums damped and factorized.
      int64_t& bytes = at_once[{layer.block, layer.stream, in}];
      bytes += (in * in + 2 * out * in) * int64_t{4};
      plan.block_scratch_bytes =
          std::max(plan.block_scratch_bytes, bytes + (2 * in * in + 2 * out * in) * int64_t{4});
    }
    plan.notes.push_back(
        absl::StrCat(layers.size(),
                     " layers are fitted; a block of the teacher and one sample's forward "
                     "through both come on top"));
    return plan;
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<std::vector<LinearInfo>> layers = Layers(model);
    return !layers.ok() || std::any_of(layers->begin(), layers->end(),
                                       [&](const LinearInfo& one) { return one.block == block; });
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    const std::string& path = block.block();
    const std::string component = model.ComponentOf(path).name;
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> layers, Layers(model));
    std::set<std::string> left;
    for (const LinearInfo& layer : layers) {
      if (layer.block == path) left.insert(layer.path);
    }
    std::vector<std::vector<std::string>> groups;
    if (context.activations != nullptr) {
      WANLITE_ASSIGN_OR_RETURN(groups, InputGroups(model, block, *context.activations));
    }
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<train::TeacherStream> teacher,
        train::TeacherStream::Open(context, name(), TeacherRef(options_), component));
    WANLITE_ASSIGN_OR_RETURN(const std::string same,
                             SameBlock(model, teacher->model(), component, path));
    WANLITE_RETURN_IF_ERROR(teacher->MoveTo(same, context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease teaching, teacher->model().Lease(same));
    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::OfBlock(model, path));
    {
      const at::NoGradGuard no_grad;
      const Float32Block float32(teacher->model(), same);
      // In the order of execution: each input is what the fitted layers before it make.
      for (const std::vector<std::string>& group : groups) {
        std::vector<std::string> readers;
        for (const std::string& reader : group) {
          if (left.erase(reader) > 0) readers.push_back(reader);
        }
        if (readers.empty()) continue;
        WANLITE_RETURN_IF_ERROR(FitReaders(model, block, *teacher, teaching, readers, context));
      }
    }
    if (!left.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(*left.begin(), ": no sample reaches it; its inputs are not known"));
    }
    return masters.Restore();
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    for (const char* name : {"error_before", "error_after"}) {
      const auto sum = metrics.find(absl::StrCat("sum_", name));
      if (sum == metrics.end()) continue;
      metrics[absl::StrCat("mean_", name)] = sum->second / metrics["fitted_layers"];
      metrics.erase(sum);
    }
  }

  std::vector<std::string> Explain(const Message*) const override {
    return {absl::StrCat("layers are fitted by least squares to what they gave in ",
                         TeacherText(options_))};
  }

 private:
  // Those that are asked for; else those of the denoisers' blocks that read an axis which can be
  // pruned inside the block.
  absl::StatusOr<std::vector<LinearInfo>> Layers(const ModelView& model) const {
    if (options_.has_linears()) {
      WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
      return std::move(selection.linears);
    }
    std::set<std::string> readers;
    for (const AxisGroup& group : model.groups()) {
      if (group.block.empty()) continue;
      for (const AxisRef& ref : group.refs) {
        if (ref.dim == 1) readers.insert(ref.tensor);
      }
    }
    std::vector<LinearInfo> layers;
    for (const LinearInfo& linear : model.linears()) {
      if (readers.contains(linear.path) && !linear.sensitive &&
          model.ComponentOf(linear.path).role == ComponentRole::kDenoiser) {
        layers.push_back(linear);
      }
    }
    if (!layers.empty()) return layers;
    return absl::InvalidArgumentError(
        "no layer of a denoiser reads an axis that can be pruned inside its block; name layers by "
        "linears");
  }

  // The teacher's block of the same origin; for the rest, its rest.
  static absl::StatusOr<std::string> SameBlock(const ModelView& model, const ModelView& teacher,
                                               const std::string& component,
                                               const std::string& path) {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<train::BlockPair> pairs,
                             train::PairBlocks(model, teacher, component));
    const absl::StatusOr<train::BlockPair> pair = train::PairOf(pairs, path);
    return pair.ok() ? pair->same : path;
  }

  absl::Status FitReaders(ModelView& model, const BlockLease& block, train::TeacherStream& teacher,
                          const BlockLease& teaching, const std::vector<std::string>& readers,
                          PassContext& context) const {
    std::map<std::string, std::string> taught_by;  // reader -> the teacher's
    std::map<std::string, FitSums> sums;
    std::set<std::string> theirs;
    for (const std::string& reader : readers) {
      const std::string other = absl::StrCat(teaching.block(), reader.substr(block.block().size()));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(reader));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* wanted, teacher.model().Weight(other));
      if (weight->out_features() != wanted->out_features()) {
        return absl::FailedPreconditionError(
            absl::StrCat(reader, ": gives ", weight->out_features(), " features, the teacher's ",
                         wanted->out_features(),
                         "; a layer whose outputs were pruned has nothing to be fitted "
                         "to, exclude it"));
      }
      const bool bias = model.FindTensor(absl::StrCat(reader, ".bias")).ok();
      sums.emplace(reader, FitSums(weight->in_features(), weight->out_features(), bias));
      taught_by[reader] = other;
      theirs.insert(other);
    }
    const ActivationStream& stream = *context.activations;
    RowsTap inputs(model, {readers.front()}, /*outputs=*/false);
    RowsTap outputs(teacher.model(), theirs, /*outputs=*/true);
    {
      WANLITE_ASSIGN_OR_RETURN(const TapGuard own, TapLinears(model, block.block(), inputs));
      WANLITE_ASSIGN_OR_RETURN(const TapGuard other,
                               TapLinears(teacher.model(), teaching.block(), outputs));
      for (int64_t i = 0; i < stream.size(); ++i) {
        WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
        const auto run = [&]() -> absl::Status {
          WANLITE_ASSIGN_OR_RETURN(Values taught, teacher.activations().Input(i));
          WANLITE_RETURN_IF_ERROR(
              teacher.activations().Run(teaching, InFloat32(std::move(taught))).status());
          WANLITE_ASSIGN_OR_RETURN(Values values, stream.Input(i));
          WANLITE_RETURN_IF_ERROR(stream.Run(block, InFloat32(std::move(values))).status());
          const std::map<std::string, at::Tensor> read = inputs.Take(), given = outputs.Take();
          for (auto& [reader, sum] : sums) {
            sum.Add(read.at(readers.front()), given.at(taught_by.at(reader)),
                    stream.sample(i).weight);
          }
          return absl::OkStatus();
        };
        const absl::Status added = CatchTorch(run);
        if (!added.ok()) return Annotate(added, absl::StrCat("sample ", i));
      }
    }
    for (const std::string& reader : readers) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_RETURN_IF_ERROR(Annotate(FitLayer(model, reader, sums.at(reader), context), reader));
    }
    return absl::OkStatus();
  }

  absl::Status FitLayer(ModelView& model, const std::string& path, const FitSums& sums,
                        PassContext& context) const {
    WANLITE_ASSIGN_OR_RETURN(FittedWeight fitted, FittedWeightOf(model, path));
    const int64_t in = fitted.matrix.size(1);
    at::Tensor now = fitted.matrix.detach();
    at::Tensor mask = fitted.mask;
    if (mask.defined()) {
      now = now.masked_fill(mask.logical_not(), 0);
    } else {
      mask = train::KeptEntries(now);
    }
    at::Tensor bias;
    if (sums.bias()) {
      WANLITE_ASSIGN_OR_RETURN(bias, model.FindTensor(absl::StrCat(path, ".bias")));
      now = at::cat({now, bias.detach().unsqueeze(1)}, 1);
      if (mask.defined()) mask = at::cat({mask, at::ones({mask.size(0), 1}, at::kBool)}, 1);
    }
    WANLITE_ASSIGN_OR_RETURN(const Fit fit, FitLeastSquares(sums, now, mask, options_.damping()));
    fitted.matrix.set_data(fit.weight.narrow(1, 0, in).contiguous());
    if (bias.defined()) bias.set_data(fit.weight.select(1, in).contiguous());
    context.metrics["fitted_layers"] += 1;
    context.metrics["sum_error_before"] += fit.error_before;
    context.metrics["sum_error_after"] += fit.error_after;
    return absl::OkStatus();
  }

  const RecoverOptions options_;
  const LinearFilter linears_;
};

}  // namespace

std::unique_ptr<Pass> MakeRecoverLeastSquares(RecoverOptions options) {
  return std::make_unique<RecoverLeastSquares>(std::move(options));
}

}  // namespace wanlite
