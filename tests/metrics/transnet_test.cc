// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cstdlib>
#include <iostream>
#include <string>

#include "src/core/libtorch.h"
#include "src/metrics/feature_extractor.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

TEST_CASE("TransNetV2 features equal the python package's") {
  const char* weights = std::getenv("WANLITE_TRANSNETV2");
  if (weights == nullptr || *weights == '\0') {
    // The weights are fetched at set-up (./dev setup), not kept in the repository.
    std::cout << "SKIPPED: TransNetV2 features: WANLITE_TRANSNETV2 names no weights file\n";
    return;
  }
  ASSERT_OK_AND_ASSIGN(auto extractor, OpenTransNetV2(PosixEnv(), weights));
  CHECK(extractor->dim() == 448);
  ASSERT_OK_AND_ASSIGN(auto golden,
                       OpenSafetensors(PosixEnv(), "tests/golden/data/transnet.safetensors"));
  for (const std::string name : {"native", "resized"}) {
    CAPTURE(name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor got, extractor->Extract(*golden->Read(name + ".clip")));
    const at::Tensor want = *golden->Read(name + ".features");
    // A pixel that rounds the other way after resampling moves the features by more than arithmetic
    // does.
    CHECK((got - want).norm().item<double>() <=
          (name == "native" ? 1e-5 : 1e-3) * want.norm().item<double>());
  }
}

TEST_CASE("a file that is no TransNetV2 is refused by name") {
  const auto extractor = OpenTransNetV2(PosixEnv(), "tests/golden/data/frechet.safetensors");
  REQUIRE_FALSE(extractor.ok());
  CHECK(std::string(extractor.status().message()).find("not a TransNetV2 file") !=
        std::string::npos);
}

}  // namespace wanlite
