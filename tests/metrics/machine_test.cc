// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/machine.h"

#include <sched.h>

#include <algorithm>
#include <cctype>

#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("The cpu's model and features are read from x86 cpuinfo") {
  const char* text =
      "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 143\n"
      "model name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu amx_int8 avx512_vnni avx2 avx512fx\n\n"
      "processor\t: 1\nmodel name\t: Another\nflags\t\t: fpu avx512f\n";
  CHECK(CpuModelIn(text) == "Some CPU @ 2.00GHz");
  // Whole words only, of the first processor, in the order of the list rather than of the file.
  CHECK(CpuFeaturesIn(text) == std::vector<std::string>{"avx2", "avx512_vnni", "amx_int8"});
}

TEST_CASE("Arm cpuinfo, which calls them Features, is read too") {
  const char* text = "processor\t: 0\nFeatures\t: fp asimd i8mm\nModel\t\t: Board 5\n";
  CHECK(CpuModelIn(text) == "Board 5");
  CHECK(CpuFeaturesIn(text) == std::vector<std::string>{"asimd", "i8mm"});
}

TEST_CASE("A cpuinfo that says nothing gives unknown") {
  CHECK(CpuModelIn("") == "unknown");
  CHECK(CpuModelIn("model name\t:\n") == "unknown");
  CHECK(CpuFeaturesIn("no colon here").empty());
}

TEST_CASE("Cores are those that this process may use") {
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof(all), &all) == 0);
  CHECK(DescribeMachine().logical_cores == CPU_COUNT(&all));
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  const int cores = DescribeMachine().logical_cores;
  REQUIRE(sched_setaffinity(0, sizeof(all), &all) == 0);
  CHECK(cores == 1);
}

TEST_CASE("A machine is described without a gap") {
  const MachineInfo info = DescribeMachine();
  CHECK(info.memory_bytes > int64_t{64} << 20);
  CHECK(info.device == "cpu");
  for (const std::string& text :
       {info.cpu, info.system, info.compiler, info.libtorch, info.wanlite, info.commit}) {
    CHECK_FALSE(text.empty());
  }
  // A commit is 12 hexadecimal digits or "unknown", never an error message of git.
  if (info.commit != "unknown") {
    CHECK(info.commit.size() >= 12);
    CHECK(std::all_of(info.commit.begin(), info.commit.end(),
                      [](unsigned char c) { return std::isxdigit(c) != 0; }));
  }
}

}  // namespace
}  // namespace wanlite
