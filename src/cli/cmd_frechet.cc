// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "src/metrics/set_distance.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

constexpr char kTensor[] = "features";

struct FrechetArgs {
  std::string real, generated, floor;
  std::string divisor = "n-1";
  int resamples = 200;
  uint64_t seed = 0;
};

absl::StatusOr<FeatureSet> ReadFeatures(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> source,
                           OpenSafetensors(env, path));
  const TensorInfo* info = source->Find(kTensor);
  if (info == nullptr) {
    std::vector<std::string> names;
    for (const TensorInfo& tensor : source->tensors()) {
      if (names.size() < 8) names.push_back(tensor.name);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' has no tensor ", kTensor, "; it has ",
                     names.empty() ? "none" : absl::StrJoin(names, ", "),
                     source->tensors().size() > names.size() ? ", …" : ""));
  }
  if (info->shape.size() != 2 || !at::isFloatingType(info->dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "': ", kTensor, " is ", at::toString(info->dtype), " [",
                     absl::StrJoin(info->shape, ", "), "], wanted floating [clips, features]"));
  }
  if (info->shape[0] < 2 || info->shape[1] < 1) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': ", kTensor, " is [",
                                                   absl::StrJoin(info->shape, ", "),
                                                   "]; at least 2 clips and 1 feature are needed"));
  }
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor stored, source->Read(kTensor));
  return CatchTorch([&]() -> absl::StatusOr<FeatureSet> {
    FeatureSet set;
    set.features = stored.to(at::kDouble);
    const int64_t bad = set.features.isfinite().logical_not().sum().item<int64_t>();
    if (bad == 0) return set;
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "': ", bad, " values of ", kTensor, " are not finite"));
  });
}

absl::Status CheckWidths(const std::string& a_path, const FeatureSet& a, const std::string& b_path,
                         const FeatureSet& b) {
  if (a.features.size(1) == b.features.size(1)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", a_path, "' has ", a.features.size(1), " features, '", b_path, "' has ",
                   b.features.size(1), "; they come from different extractors"));
}

// Four decimals where a number is of ordinary size, else scientific.
std::string Number(double value) {
  const double size = std::abs(value);
  return size != 0 && (size < 0.1 || size >= 1e6) ? absl::StrCat(value) : FormatFixed(value, 4);
}

Json DistanceJson(const SetDistance& distance, const DistanceOptions& options) {
  Json json{{"frechet", distance.frechet}, {"kernel_distance", distance.kernel},
            {"n_real", distance.n_real},   {"n_generated", distance.n_generated},
            {"dim", distance.dim},         {"interval", nullptr}};
  if (options.resamples > 0) {
    json["interval"] = Json{{"low", distance.interval.low},
                            {"high", distance.interval.high},
                            {"confidence", options.confidence},
                            {"resamples", options.resamples}};
  }
  json["divisor"] = CovarianceDivisorName(options.divisor);
  json["warning"] = SampleWarning(distance.n_real, distance.n_generated, distance.dim);
  return json;
}

std::vector<std::string> Row(const std::string& name, const SetDistance& distance,
                             const DistanceOptions& options) {
  return {name, Number(distance.frechet),
          options.resamples > 0
              ? absl::StrCat(Number(distance.interval.low), " to ", Number(distance.interval.high))
              : "-",
          Number(distance.kernel), absl::StrCat(distance.n_real, " / ", distance.n_generated)};
}

absl::StatusOr<DistanceOptions> Resolve(const FrechetArgs& options) {
  DistanceOptions result;
  if (options.divisor != "n" && options.divisor != "n-1") {
    return absl::InvalidArgumentError(
        absl::StrCat("--divisor is '", options.divisor, "', it must be n-1 or n"));
  }
  if (options.resamples != 0 && (options.resamples < 2 || options.resamples > 1000000)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--resamples is ", options.resamples, ", it must be 0 (no interval) or in [2, 1000000]"));
  }
  result.divisor =
      options.divisor == "n" ? CovarianceDivisor::kPopulation : CovarianceDivisor::kUnbiased;
  result.resamples = options.resamples;
  result.seed = options.seed;
  return result;
}

absl::Status RunFrechet(const FrechetArgs& options, Session& session) {
  WANLITE_ASSIGN_OR_RETURN(const DistanceOptions how, Resolve(options));
  WANLITE_ASSIGN_OR_RETURN(const FeatureSet real, ReadFeatures(session.env(), options.real));
  WANLITE_ASSIGN_OR_RETURN(const FeatureSet generated,
                           ReadFeatures(session.env(), options.generated));
  WANLITE_RETURN_IF_ERROR(CheckWidths(options.real, real, options.generated, generated));
  std::optional<FeatureSet> other;
  if (!options.floor.empty()) {
    WANLITE_ASSIGN_OR_RETURN(other, ReadFeatures(session.env(), options.floor));
    WANLITE_RETURN_IF_ERROR(CheckWidths(options.real, real, options.floor, *other));
  }
  WANLITE_ASSIGN_OR_RETURN(const SetDistance distance,
                           MeasureSetDistance(real, generated, how, &session.cancel()));
  Json json = DistanceJson(distance, how);
  std::string warning = json["warning"].get<std::string>();
  std::vector<std::vector<std::string>> rows{
      {"", "Fréchet", absl::StrCat(FormatFixed(100 * how.confidence, 0), " % interval"), "kernel",
       "clips"},
      Row("generated against real", distance, how)};
  if (other.has_value()) {
    WANLITE_RETURN_IF_ERROR(session.cancel().Check());
    WANLITE_ASSIGN_OR_RETURN(const SetDistance floor,
                             MeasureSetDistance(real, *other, how, &session.cancel()));
    json["floor"] = DistanceJson(floor, how);
    if (floor.n_generated != distance.n_generated) {
      const std::string unequal = absl::StrCat(
          "the floor has ", floor.n_generated, " clips, the generated set ", distance.n_generated,
          ": a Fréchet distance shrinks as sets grow, so the two are not comparable");
      json["floor"]["warning"] = unequal;
      absl::StrAppend(&warning, warning.empty() ? "" : "\nwarning: ", unequal);
    }
    rows.push_back(Row("other real against real", floor, how));
  }
  if (session.json) {
    session.PrintJson(json);
    return absl::OkStatus();
  }
  session.Say(absl::StrCat(
      FormatTable(rows), "\n", distance.dim, " features, covariance divided by ", options.divisor,
      ", float64; kernel: unbiased, (x.y / ", distance.dim, " + 1)^3.\n",
      "What the number means depends on the extractor that the features come from.\n",
      how.resamples > 0
          ? "The interval, by bootstrap, is centred on the distance: it tells the spread, and "
            "nothing of the bias of small sets.\n"
          : "",
      warning.empty() ? "" : absl::StrCat("warning: ", warning, "\n")));
  return absl::OkStatus();
}

}  // namespace

Command AddFrechet(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "frechet", "Measure the Fréchet and kernel distance of two sets of features",
      "wanlite frechet --real real.safetensors --generated generated.safetensors\n"
      "Each file holds a floating tensor \"features\" [clips, features]. JSON: frechet,\n"
      "kernel_distance, n_real, n_generated, dim, interval {low, high, confidence, resamples} or\n"
      "null, divisor, warning; with --floor the same keys below floor.");
  auto options = std::make_shared<FrechetArgs>();
  command.app->add_option("--real", options->real, "features of real clips")
      ->required()
      ->type_name("FILE");
  command.app->add_option("--generated", options->generated, "features of generated clips")
      ->required()
      ->type_name("FILE");
  command.app
      ->add_option("--floor", options->floor,
                   "features of other real clips, as many as generated ones: the distance that no "
                   "generator can be expected to beat")
      ->type_name("FILE");
  command.app->add_option("--divisor", options->divisor, "of the covariance: n-1 or n")
      ->type_name("NAME")
      ->capture_default_str();
  command.app->add_option("--resamples", options->resamples, "of the bootstrap; 0: no interval")
      ->type_name("N")
      ->capture_default_str();
  command.app->add_option("--seed", options->seed, "of the bootstrap")
      ->check(FitsUint64())
      ->capture_default_str();
  command.run = [options](Session& session) { return RunFrechet(*options, session); };
  return command;
}

}  // namespace wanlite::cli
