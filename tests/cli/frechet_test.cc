// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// wanlite frechet, as a user runs it.

#include <cmath>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;

class Files {
 public:
  std::string Write(const std::string& name, const at::Tensor& features,
                    const std::string& tensor = "features") const {
    const std::string path = folder_ / (name + ".safetensors");
    REQUIRE_OK(WriteSafetensors(PosixEnv(), path, {{tensor, features}}).status());
    return path;
  }

 private:
  testing::TempFolder folder_;
};

at::Tensor Normal(int64_t n, int64_t d, uint64_t seed) {
  return at::randn({n, d}, at::detail::createCPUGenerator(seed));
}

}  // namespace

TEST_CASE("frechet prints the numbers of scipy as JSON") {
  const Files files;
  ASSERT_OK_AND_ASSIGN(const auto golden,
                       OpenSafetensors(PosixEnv(), "tests/golden/data/frechet.safetensors"));
  const std::string real = files.Write("real", *golden->Read("0.real"));
  const std::string generated = files.Write("generated", *golden->Read("0.generated"));
  const at::Tensor expected = *golden->Read("0.expected");
  for (const std::string divisor : {"n-1", "n"}) {
    const auto json = RunWanliteJson({"frechet", "--real", real, "--generated", generated,
                                      "--floor", real, "--divisor", divisor, "--resamples", "40"});
    CHECK(json["frechet"].get<double>() ==
          Approx(expected[divisor == "n" ? 1 : 0].item<double>()).epsilon(1e-6));
    CHECK(json["kernel_distance"].get<double>() ==
          Approx(expected[2].item<double>()).epsilon(1e-6));
    CHECK(json["n_real"] == 60);
    CHECK(json["n_generated"] == 80);
    CHECK(json["dim"] == 12);
    CHECK(json["divisor"] == divisor);
    CHECK(json["warning"] == "");
    CHECK(json["interval"]["low"].get<double>() < json["interval"]["high"].get<double>());
    CHECK(json["interval"]["confidence"] == 0.95);
    CHECK(json["interval"]["resamples"] == 40);
    CHECK(std::abs(json["floor"]["frechet"].get<double>()) < 1e-9);
    CHECK(json["floor"]["warning"].get<std::string>().find("60 clips, the generated set 80") !=
          std::string::npos);
  }
}

TEST_CASE("frechet prints a table for people, with a warning for few clips") {
  const Files files;
  const Outcome outcome =
      RunWanlite({"frechet", "--resamples", "0", "--real", files.Write("a", Normal(5, 9, 1)),
                  "--generated", files.Write("b", Normal(6, 9, 2))});
  INFO(outcome.out);
  CHECK(outcome.code == 0);
  CHECK(outcome.out.find("generated against real") != std::string::npos);
  CHECK(outcome.out.find("5 / 6") != std::string::npos);
  CHECK(outcome.out.find("warning: only 5 clips") != std::string::npos);
}

TEST_CASE("frechet refuses what is no set of features, naming the file") {
  const Files files;
  const std::string good = files.Write("good", Normal(5, 3, 1));
  at::Tensor nan = Normal(5, 3, 2);
  nan[1][1] = std::nan("");
  const auto refused = [&](const std::string& bad, const std::string& message,
                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"frechet", "--real", good, "--generated", bad};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = RunWanlite(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == 3);
    CHECK(outcome.err.find(message) != std::string::npos);
  };
  refused(files.Write("nan", nan), "nan.safetensors': 1 values of features are not finite");
  refused(files.Write("wide", Normal(5, 4, 1)), "wide.safetensors' has 4; they come from");
  refused(files.Write("one", Normal(1, 3, 1)), "features is [1, 3]; at least 2 clips");
  refused(files.Write("named", Normal(5, 3, 1), "feats"), "has no tensor features; it has feats");
  refused(files.Write("whole", at::ones({5, 3}, at::kLong)), "Long [5, 3], wanted floating");
  refused(files.Write("flat", at::ones({5})), "[5], wanted floating [clips, features]");
  refused(good, "it must be n-1 or n", {"--divisor", "m"});
  refused(good, "--resamples is 1", {"--resamples", "1"});
  CHECK(RunWanlite({"frechet", "--real", good, "--generated", "/no/such"}).code == 4);
  CHECK(RunWanlite({"frechet", "--real", good}).code == 2);
}

}  // namespace wanlite
