// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/flicker.h"

#include <cmath>
#include <string>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// The same value at every pixel of a frame. -> fp64 [F, 4, 5, 3]
at::Tensor Uniform(const at::Tensor& over_time) {
  return over_time.to(at::kDouble).reshape({-1, 1, 1, 1}).expand({-1, 4, 5, 3});
}

FlickerStatistics Measured(const at::Tensor& clip) {
  ASSERT_OK_AND_ASSIGN(const FlickerStatistics result, MeasureFlicker(clip));
  return result;
}

}  // namespace

TEST_CASE("a still clip has no flicker at all") {
  const FlickerStatistics still = Measured(at::full({9, 4, 5, 3}, 77, at::kByte));
  CHECK(still.clips == 1);
  CHECK(still.frame_difference == 0);
  CHECK(still.second_difference == 0);
  CHECK(still.high_frequency_energy == 0);
}

TEST_CASE("steady change has a first difference and no second one") {
  const FlickerStatistics ramp = Measured(Uniform(at::arange(9).to(at::kDouble) * 0.1));
  CHECK(ramp.frame_difference == Approx(0.1));
  CHECK(ramp.second_difference == Approx(0).margin(1e-12));
  // The energy of a ramp of 9 frames at frequency k is in proportion to 1 / sin^2(pi k / 9).
  const auto energy = [](int k) { return 1 / std::pow(std::sin(M_PI * k / 9), 2); };
  CHECK(ramp.high_frequency_energy ==
        Approx((energy(3) + energy(4)) / (energy(1) + energy(2) + energy(3) + energy(4))));
}

TEST_CASE("alternating frames hold all their energy at the highest frequency") {
  const FlickerStatistics jitter = Measured(Uniform(0.5 + 0.2 * (at::arange(8) % 2)));
  CHECK(jitter.frame_difference == Approx(0.2));
  CHECK(jitter.second_difference == Approx(0.4));
  CHECK(jitter.high_frequency_energy == Approx(1));
}

TEST_CASE("two sines share the energy by the squares of their amplitudes") {
  const at::Tensor t = at::arange(16).to(at::kDouble) * (2 * M_PI / 16);
  // One turn and six turns in 16 frames: below and above a quarter of the frame rate.
  const FlickerStatistics both = Measured(Uniform(0.5 + 0.3 * (1 * t).sin() + 0.1 * (6 * t).sin()));
  CHECK(both.high_frequency_energy == Approx(0.01 / (0.01 + 0.09)));
  // A quarter of the frame rate itself is not above it.
  CHECK(Measured(Uniform(0.5 + 0.3 * (4 * t).sin())).high_frequency_energy ==
        Approx(0).margin(1e-12));
}

TEST_CASE("bytes and floats give the same numbers, in slices too") {
  const at::Tensor bytes =
      at::randint(0, 256, {5, 300, 301, 3},  // more values than one slice holds
                  at::detail::createCPUGenerator(4), at::TensorOptions(at::kByte));
  const FlickerStatistics a = Measured(bytes), b = Measured(bytes.to(at::kDouble) / 255);
  const at::Tensor x = bytes.to(at::kDouble) / 255;
  CHECK(a.frame_difference == Approx((x.diff(1, 0)).abs().mean().item<double>()));
  CHECK(a.second_difference == Approx((x.diff(2, 0)).abs().mean().item<double>()));
  CHECK(a.high_frequency_energy == Approx(b.high_frequency_energy));
  // White noise over 5 frames: frequency 2 of 1 and 2 is above 5 / 4.
  CHECK(a.high_frequency_energy == Approx(0.5).margin(0.01));
}

TEST_CASE("flicker of sets is weighted by clips") {
  const FlickerStatistics all = Combine({1, 0.1, 0.2, 0.3}, {3, 0.5, 0.6, 0.7});
  CHECK(all.clips == 4);
  CHECK(all.frame_difference == Approx(0.4));
  CHECK(all.second_difference == Approx(0.5));
  CHECK(all.high_frequency_energy == Approx(0.6));
  CHECK(Combine({}, {}).clips == 0);
  CHECK(Combine({}, {2, 0.1, 0.2, 0.3}).frame_difference == Approx(0.1));
}

TEST_CASE("clips that flicker cannot be measured on are refused") {
  const auto message = [](const at::Tensor& clip) {
    const auto result = MeasureFlicker(clip);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  };
  CHECK(message(at::zeros({2, 4, 4, 3}, at::kByte)).find("frames >= 3") != std::string::npos);
  CHECK(message(at::zeros({5, 4, 4}, at::kByte)).find("[5, 4, 4]") != std::string::npos);
  CHECK(message(at::zeros({5, 4, 4, 3}, at::kLong)).find("Long") != std::string::npos);
  CHECK(message(at::full({5, 4, 4, 3}, 1.5)).find("[0, 1]") != std::string::npos);
  CHECK(message(at::full({5, 4, 4, 3}, std::nan(""))).find("[0, 1]") != std::string::npos);
  CHECK(message({}).find("nothing") != std::string::npos);
}

}  // namespace wanlite
