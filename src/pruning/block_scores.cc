// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/block_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/pruning/select_blocks.h"
#include "wanlite/block_program.h"
#include "wanlite/progress.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What trials that run at once hold of values, beside those that they share.
constexpr int64_t kBlockTrialBytes = int64_t{256} << 20;
// Rows that are compared at once.
constexpr int64_t kCosineRows = 4096;
constexpr int kDrawsPerChoice = 100;

ProgressSink& ProgressOf(const PassContext& context) {
  return context.progress != nullptr ? *context.progress : SilentProgress();
}

// A score by timestep: passes at one noise level come together before the worst is looked for.
class TimestepScores {
 public:
  void Add(double timestep, double weight, double score) {
    auto& [sum, weights] = sums_[timestep];
    sum += weight * score;
    weights += weight;
  }
  BlockScore Result() const {
    BlockScore score;
    double sum = 0, weights = 0;
    bool first = true;
    for (const auto& [timestep, part] : sums_) {
      sum += part.first;
      weights += part.second;
      const double here = part.second > 0 ? part.first / part.second : 0;
      if (!first && !(here > score.worst)) continue;
      first = false;
      score.worst = here;
      score.worst_timestep = timestep;
    }
    score.mean = weights > 0 ? sum / weights : 0;
    return score;
  }

 private:
  std::map<double, std::pair<double, double>> sums_;
};

// 1 - the mean cosine of the rows (the last dimension) of two tensors of one shape. A row of zeros
// is as near to one of zeros as can be.
double CosineDistance(const at::Tensor& before, const at::Tensor& after) {
  TORCH_CHECK_VALUE(before.sizes() == after.sizes(), "a value that a block adds to is ",
                    before.sizes(), " before it and ", after.sizes(), " behind it");
  const int64_t width = before.dim() > 0 ? before.size(-1) : 1;
  if (before.numel() == 0) return 0;
  const at::Tensor a = before.reshape({-1, width}), b = after.reshape({-1, width});
  double sum = 0;
  for (int64_t row = 0; row < a.size(0); row += kCosineRows) {
    const at::Tensor x = a.slice(0, row, row + kCosineRows).to(at::kDouble);
    const at::Tensor y = b.slice(0, row, row + kCosineRows).to(at::kDouble);
    const at::Tensor xx = x.square().sum(-1), yy = y.square().sum(-1);
    const at::Tensor cosine = (x * y).sum(-1) / (xx * yy).sqrt();
    const at::Tensor both_zero = xx.eq(0).logical_and(yy.eq(0));
    const at::Tensor one_zero = xx.eq(0).logical_xor(yy.eq(0));
    sum += (1 - cosine).masked_fill(both_zero, 0).masked_fill(one_zero, 1).sum().item<double>();
  }
  return sum / static_cast<double>(a.size(0));
}

// Values that each block adds to, by its full path.
std::map<std::string, std::set<std::string>> ResidualValues(const Component& component) {
  std::map<std::string, std::set<std::string>> values;
  for (const BlockProgram::Step& step : ProgramOf(component)->Steps()) {
    if (!step.residual) continue;
    values[BlockPath(component, step)].insert(step.changes.begin(), step.changes.end());
  }
  return values;
}

absl::Status CheckScores(const std::vector<std::string>& blocks,
                         const std::vector<BlockScore>& scores) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (std::isfinite(scores[i].mean) && std::isfinite(scores[i].worst)) continue;
    return absl::InvalidArgumentError(absl::StrCat(blocks[i], ": its score is not finite"));
  }
  return absl::OkStatus();
}

// Of the first `count` in an order drawn by `random`.
std::set<std::string> Draw(const std::vector<std::string>& blocks, size_t count, Random& random) {
  std::vector<std::string> order = blocks;
  for (size_t i = 0; i < count; ++i) {
    std::swap(order[i],
              order[i + static_cast<size_t>(random.Below(static_cast<int64_t>(order.size() - i)))]);
  }
  return {order.begin(), order.begin() + static_cast<int64_t>(count)};
}

}  // namespace

absl::StatusOr<std::vector<BlockScore>> ScoreInfluence(ModelView& model, const SampleSet& samples,
                                                       const std::string& component,
                                                       const std::vector<int64_t>& passes,
                                                       const std::vector<std::string>& blocks,
                                                       PassContext& context) {
  WANLITE_ASSIGN_OR_RETURN(NetworkTrials network, NetworkTrials::Create(model, samples, component,
                                                                        passes, context.cancel));
  const auto residual = ResidualValues(*model.FindComponent(component));
  std::map<std::string, TimestepScores> sums;
  for (const std::string& block : blocks) {
    if (network.PartOf(block) < network.parts() && residual.contains(block)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(block, " adds to no value of the network's program"));
  }
  Trial trial{"the original", {}, {}, network.Inputs()};
  ProgressSink& progress = ProgressOf(context);
  progress.Begin("block influence", static_cast<int64_t>(network.parts()));
  for (size_t part = 0; part < network.parts(); ++part) {
    const std::string& block = network.block(part);
    const auto names = residual.find(block);
    const bool scored = std::find(blocks.begin(), blocks.end(), block) != blocks.end();
    const std::vector<Values> before = scored ? trial.values : std::vector<Values>();
    WANLITE_RETURN_IF_ERROR(network.Run(part, {&trial}));
    for (size_t i = 0; scored && i < passes.size(); ++i) {
      const SampleInfo& sample = samples.sample(component, passes[i]);
      for (const std::string& name : names->second) {
        const auto old = before[i].find(name);
        if (old == before[i].end()) continue;
        const double share = sample.weight / static_cast<double>(names->second.size());
        sums[block].Add(sample.timestep, share,
                        CosineDistance(old->second, trial.values[i].at(name)));
      }
    }
    progress.Update(static_cast<int64_t>(part) + 1, block);
  }
  progress.End();
  std::vector<BlockScore> scores;
  for (const std::string& block : blocks) scores.push_back(sums[block].Result());
  WANLITE_RETURN_IF_ERROR(CheckScores(blocks, scores));
  return scores;
}

absl::StatusOr<std::vector<BlockScore>> ScoreOutputError(NetworkTrials& network,
                                                         const std::set<std::string>& left_out,
                                                         const std::vector<std::string>& blocks,
                                                         PassContext& context) {
  std::vector<size_t> begins;  // the part of each block, rising
  for (const std::string& block : blocks) {
    begins.push_back(network.PartOf(block));
    if (begins.back() < network.parts()) continue;
    return absl::InvalidArgumentError(absl::StrCat(block, " is no step of the network's program"));
  }
  std::vector<BlockScore> scores(blocks.size());
  ProgressSink& progress = ProgressOf(context);
  progress.Begin("error without each block", static_cast<int64_t>(blocks.size()));
  // The network without `left_out`, up to where the next trial begins.
  Trial prefix{"the blocks before", {}, left_out, network.Inputs()};
  size_t part = 0;
  for (size_t next = 0; next < blocks.size();) {
    for (; part < begins[next]; ++part) WANLITE_RETURN_IF_ERROR(network.Run(part, {&prefix}));
    int64_t bytes = 1;
    for (const Values& values : prefix.values) {
      for (const auto& [name, value] : values) {
        if (value.defined()) bytes += static_cast<int64_t>(value.nbytes());
      }
    }
    const size_t batch = std::min(
        blocks.size(), next + static_cast<size_t>(std::max<int64_t>(1, kBlockTrialBytes / bytes)));
    // What the batch after this one begins with.
    const size_t stop = batch < blocks.size() ? begins[batch] : part;
    std::vector<Trial> trials;
    trials.reserve(batch - next);
    for (size_t at = part, begun = next; at < network.parts(); ++at) {
      for (; begun < batch && begins[begun] == at; ++begun) {
        Trial trial{absl::StrCat("without ", blocks[begun]), {}, left_out, prefix.values};
        trial.left_out.insert(blocks[begun]);
        trials.push_back(std::move(trial));
      }
      std::vector<Trial*> running;
      for (Trial& trial : trials) running.push_back(&trial);
      const bool more = begun < batch || at < stop;
      if (more) running.push_back(&prefix);
      WANLITE_RETURN_IF_ERROR(network.Run(at, running));
      if (more) part = at + 1;
    }
    for (size_t i = next; i < batch; ++i) {
      WANLITE_ASSIGN_OR_RETURN(const OutputError error, network.Score(trials[i - next]));
      scores[i] = {error.trajectory, error.worst_pass, error.worst_timestep};
      progress.Update(static_cast<int64_t>(i) + 1, blocks[i]);
    }
    next = batch;
  }
  progress.End();
  WANLITE_RETURN_IF_ERROR(CheckScores(blocks, scores));
  return scores;
}

absl::StatusOr<std::vector<BlockScore>> ScoreBlockNorms(ModelView& model,
                                                        const std::vector<std::string>& blocks,
                                                        PassContext& context) {
  const at::NoGradGuard no_grad;
  std::vector<BlockScore> scores;
  for (const std::string& block : blocks) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
    double squares = 0;
    std::set<std::string> of_weights;
    for (const LinearInfo& linear : model.weights()) {
      if (linear.block != block) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      for (const WeightTensor& state : weight->State()) {
        of_weights.insert(absl::StrCat(linear.path, ".", state.name));
      }
      const double norm = weight->Dequantize().norm().item<double>();
      squares += norm * norm;
    }
    for (const NamedTensor& named : lease.State()) {
      if (of_weights.contains(named.name) || !named.tensor.is_floating_point()) continue;
      const double norm = named.tensor.detach().to(at::kDouble).norm().item<double>();
      squares += norm * norm;
    }
    scores.push_back({std::sqrt(squares), std::sqrt(squares), 0});
  }
  WANLITE_RETURN_IF_ERROR(CheckScores(blocks, scores));
  return scores;
}

std::vector<BlockScore> ScoreBlocksAtRandom(const std::string& component,
                                            const std::vector<std::string>& blocks, uint64_t seed) {
  std::vector<BlockScore> scores;
  for (const std::string& block : blocks) {
    std::vector<uint64_t> parts;
    for (const char c : PathBelow(component, block)) parts.push_back(static_cast<uint8_t>(c));
    const double score = Random(MixSeed(seed, parts)).Uniform();
    scores.push_back({score, score, 0});
  }
  return scores;
}

absl::StatusOr<std::vector<OutputError>> MeasureChoices(NetworkTrials& network,
                                                        const std::vector<BlockChoice>& choices,
                                                        PassContext& context) {
  std::vector<Trial> trials;
  std::vector<Trial*> running;
  for (const BlockChoice& choice : choices) {
    trials.push_back({absl::StrCat("the choice '", choice.name, "'"), choice.edits, choice.left_out,
                      network.Inputs()});
  }
  for (Trial& trial : trials) running.push_back(&trial);
  ProgressSink& progress = ProgressOf(context);
  progress.Begin("error of choices", static_cast<int64_t>(network.parts()));
  for (size_t part = 0; part < network.parts(); ++part) {
    WANLITE_RETURN_IF_ERROR(network.Run(part, running));
    progress.Update(static_cast<int64_t>(part) + 1, network.block(part));
  }
  progress.End();
  std::vector<OutputError> errors;
  for (const Trial& trial : trials) {
    const absl::StatusOr<OutputError> error = network.Score(trial);
    constexpr double kNotFinite = std::numeric_limits<double>::infinity();
    errors.push_back(error.ok() ? *error : OutputError{kNotFinite, kNotFinite, kNotFinite, 0});
  }
  return errors;
}

std::vector<BlockChoice> RandomChoices(const std::vector<std::string>& blocks,
                                       const std::set<std::string>& like, int64_t count,
                                       uint64_t seed) {
  std::vector<BlockChoice> choices;
  std::set<std::set<std::string>> known{like};
  Random random(seed);
  for (int64_t draw = 0; draw < count * kDrawsPerChoice; ++draw) {
    if (static_cast<int64_t>(choices.size()) == count) break;
    std::set<std::string> drawn = Draw(blocks, like.size(), random);
    if (!known.insert(drawn).second) continue;
    choices.push_back({absl::StrCat("random ", choices.size() + 1), std::move(drawn)});
  }
  return choices;
}

}  // namespace wanlite
