// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/doctor/smoothing.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/statusor.h"
#include "src/core/libtorch.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Divisors nearer to 1 than this are left alone, and these two estimates of one are the same.
constexpr double kNoSmoothing = 0.02;
constexpr double kSame = 0.2;

// Matrices of a linear in both models, fp32; none where they have other sizes.
struct MatrixPair {
  at::Tensor original, compressed;
};
MatrixPair Matrices(const ModelView& original, const std::string& path, const ModelView& compressed,
                    const std::string& other) {
  const absl::StatusOr<const LinearWeight*> a = DenseWeightOf(original, path);
  const absl::StatusOr<const LinearWeight*> b = compressed.Weight(other);
  if (!a.ok() || !b.ok() || (*a)->in_features() != (*b)->in_features() ||
      (*a)->out_features() != (*b)->out_features()) {
    return {};
  }
  return {(*a)->Dequantize(), (*b)->Dequantize()};
}

// a . b / (b . b) along a dimension: the factor that brings b nearest to a.
at::Tensor Factors(const at::Tensor& a, const at::Tensor& b, int64_t dim) {
  return (a * b).sum(dim) / b.square().sum(dim);
}

}  // namespace

Smoothing::Smoothing(ModelView& original, const ModelView& compressed, const Component& component,
                     PathOf path_of)
    : original_(original), compressed_(compressed), path_of_(std::move(path_of)) {
  for (InputScaling& scaling : InputScalingsOf(component)) {
    Found found;
    const auto add = [&](const std::string& path) {
      const std::string& block = original.BlockOf(path);
      if (std::find(found.blocks.begin(), found.blocks.end(), block) == found.blocks.end()) {
        found.blocks.push_back(block);
      }
    };
    // An original that is quantized itself is taken as it is.
    bool dense = true;
    const auto check = [&](const std::string& path) {
      if (original.FindLinear(path) != nullptr) dense &= DenseWeightOf(original, path).ok();
    };
    for (const ScaledTensor& source : scaling.sources) {
      add(source.path);
      check(source.path);
    }
    for (const std::string& reader : scaling.readers) {
      add(reader);
      check(reader);
    }
    if (!dense) continue;
    found.scaling = std::move(scaling);
    found_.push_back(std::move(found));
  }
}

std::vector<std::string> Smoothing::BlocksToRead() const {
  std::vector<std::string> blocks;
  for (const Found& found : found_) {
    if (found.blocks.size() < 2) continue;
    // One block of readers will do, and all blocks of sources that are no table of one block.
    for (const ScaledTensor& source : found.scaling.sources) {
      if (source.offset == 0 && original_.FindLinear(source.path) != nullptr) {
        blocks.push_back(original_.BlockOf(source.path));
      }
    }
    for (const std::string& reader : found.scaling.readers) {
      if (path_of_(reader).empty()) continue;
      blocks.push_back(original_.BlockOf(reader));
      break;
    }
  }
  std::sort(blocks.begin(), blocks.end());
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
  return blocks;
}

void Smoothing::Look(Found& found, const std::string& block) {
  const at::NoGradGuard no_grad;
  const int64_t features = found.scaling.features;
  for (const ScaledTensor& source : found.scaling.sources) {
    const std::string other = path_of_(source.path);
    if (found.by_sources.defined() || source.offset != 0 || other.empty() ||
        original_.BlockOf(source.path) != block) {
      continue;
    }
    if (original_.FindLinear(source.path) != nullptr) {
      const MatrixPair pair = Matrices(original_, source.path, compressed_, other);
      if (!pair.original.defined() || pair.original.size(0) < source.begin + features) continue;
      found.by_sources = Factors(pair.compressed.narrow(0, source.begin, features),
                                 pair.original.narrow(0, source.begin, features), 1)
                             .reciprocal();
      continue;
    }
    const absl::StatusOr<at::Tensor> a = original_.FindTensor(source.path);
    const absl::StatusOr<at::Tensor> b = compressed_.FindTensor(other);
    // A table that another one is added to says nothing by itself.
    if (found.blocks.size() > 1 || !a.ok() || !b.ok() || a->sizes() != b->sizes()) continue;
    found.by_sources =
        (a->to(at::kFloat) / b->to(at::kFloat)).flatten().narrow(0, source.begin, features);
  }
  if (!found.by_readers.empty()) return;
  for (const std::string& reader : found.scaling.readers) {
    const std::string other = path_of_(reader);
    if (other.empty() || original_.BlockOf(reader) != block) continue;
    const MatrixPair pair = Matrices(original_, reader, compressed_, other);
    if (!pair.original.defined() || pair.original.size(1) != features) continue;
    found.by_readers.push_back(Factors(pair.compressed, pair.original, 0));
  }
}

void Smoothing::Decide(Found& found) {
  if (!found.by_sources.defined()) return;
  // What divides the sources must multiply the readers, but for one factor for all, which is a
  // fault of one side. Readers with faults or scaled rows of their own are outvoted by one without.
  double factor = 0;
  at::Tensor sources, readers;
  for (const at::Tensor& estimate : found.by_readers) {
    const at::Tensor sound = found.by_sources.isfinite()
                                 .logical_and(found.by_sources > 0)
                                 .logical_and(estimate.isfinite())
                                 .logical_and(estimate > 0);
    const auto logs = [&](const at::Tensor& factors) {
      return at::where(sound, factors, at::ones_like(factors)).log();
    };
    const at::Tensor apart = logs(estimate) - logs(found.by_sources);
    const double middle = apart.median().item<double>();
    const at::Tensor same = ((apart - middle).abs() < kSame).logical_and(sound);
    if (same.to(at::kDouble).mean().item<double>() < 0.9) continue;
    if (readers.defined() && std::abs(middle) >= std::abs(factor)) continue;
    factor = middle;
    sources = logs(found.by_sources);
    readers = logs(estimate);
  }
  if (!readers.defined()) return;
  // The side at fault is the one that is further from doing nothing.
  if (std::abs(readers.median().item<double>()) < std::abs(sources.median().item<double>()) &&
      std::abs(factor) > kSame) {
    sources = sources + factor;
  }
  if (sources.abs().max().item<double>() > kNoSmoothing) found.divisors = sources.exp();
}

void Smoothing::Read(const std::string& block) {
  for (Found& found : found_) {
    if (found.blocks.size() > 1) Look(found, block);
  }
}

absl::Status Smoothing::Apply(const std::string& block) {
  // Those of several blocks first: the others are then read off what these leave.
  for (const bool alone : {false, true}) {
    for (Found& found : found_) {
      if ((found.blocks.size() == 1) != alone ||
          std::find(found.blocks.begin(), found.blocks.end(), block) == found.blocks.end()) {
        continue;
      }
      if (alone) {
        found.by_sources = at::Tensor();
        found.by_readers.clear();
        Look(found, block);
      }
      if (!found.divisors.defined()) Decide(found);
      if (!found.divisors.defined()) continue;
      WANLITE_RETURN_IF_ERROR(ScaleInput(original_, found.scaling, found.divisors, block));
    }
  }
  return absl::OkStatus();
}

int64_t Smoothing::count() const {
  return std::count_if(found_.begin(), found_.end(),
                       [](const Found& found) { return found.divisors.defined(); });
}

}  // namespace wanlite
