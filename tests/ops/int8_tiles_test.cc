// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA matrix kernel played by loops on the host: the same index maps, with ldmatrix and
// mma.sync replaced by what the PTX manual says they do.
#include "src/ops/cuda/int8_tiles.h"

#include <array>
#include <cstring>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/testing/catch.h"

namespace wanlite::ops::cuda {
namespace {

using Registers = std::array<std::array<uint32_t, 4>, 32>;  // [lane][register]

// ldmatrix.x4: the eight 16-byte rows of matrix j lie at the addresses of lanes 8 j ... 8 j + 7;
// lane l receives, of every matrix, bytes 4 (l % 4) ... of row l / 4.
template <typename PlaceOfLane>
Registers LoadMatrices(const std::vector<int8_t>& operand, PlaceOfLane place_of_lane) {
  Registers registers{};
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      const Place place = place_of_lane(matrix * 8 + lane / 4);
      std::memcpy(&registers[lane][matrix],
                  operand.data() + SharedOffset(place.row, place.chunk) + lane % 4 * 4, 4);
    }
  }
  return registers;
}

int8_t Byte(uint32_t value, int index) { return static_cast<int8_t>(value >> (8 * index)); }

// mma.m16n8k32.s8: A's register r of lane l holds row l / 4 + 8 (r % 2), features 4 (l % 4) + 16 (r
// / 2) onwards; B's register r holds column l / 4, features 4 (l % 4) + 16 r onwards.
void MultiplyAdd(const Registers& a, const Registers& b, int first_b, int32_t (*sums)[32][4]) {
  int8_t rows[16][32], columns[8][32];
  for (int lane = 0; lane < 32; ++lane) {
    for (int byte = 0; byte < 4; ++byte) {
      for (int r = 0; r < 4; ++r) {
        rows[lane / 4 + 8 * (r % 2)][4 * (lane % 4) + 16 * (r / 2) + byte] = Byte(a[lane][r], byte);
      }
      for (int r = 0; r < 2; ++r) {
        columns[lane / 4][4 * (lane % 4) + 16 * r + byte] = Byte(b[lane][first_b + r], byte);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int v = 0; v < 4; ++v) {
      for (int k = 0; k < 32; ++k) {
        (*sums)[lane][v] += rows[SumRow(lane, v)][k] * columns[SumColumn(lane, v)][k];
      }
    }
  }
}

}  // namespace

TEST_CASE("the copies of a stage fill every chunk of an operand once, in place") {
  std::set<int> offsets;
  std::set<std::pair<int, int>> places;
  for (int thread = 0; thread < kThreads; ++thread) {
    for (int step = 0; step < kCopiesPerThread; ++step) {
      const Place place = CopyPlace(thread, step);
      REQUIRE(place.row < kTileM);
      REQUIRE(place.chunk < kChunksPerRow);
      places.insert({place.row, place.chunk});
      offsets.insert(SharedOffset(place.row, place.chunk));
    }
  }
  CHECK(places.size() == kOperandBytes / kChunk);
  CHECK(offsets.size() == kOperandBytes / kChunk);
  CHECK(*offsets.rbegin() == kOperandBytes - kChunk);
}

TEST_CASE("ldmatrix reads eight rows from all banks at once") {
  for (int first_row = 0; first_row < kTileM; first_row += 8) {
    for (int chunk = 0; chunk < kChunksPerRow; ++chunk) {
      std::set<int> bank_groups;
      for (int row = first_row; row < first_row + 8; ++row) {
        bank_groups.insert(SharedOffset(row, chunk) / kChunk % 8);
      }
      CHECK(bank_groups.size() == 8);
    }
  }
}

TEST_CASE("the warps of a block multiply a whole tile") {
  std::mt19937 random(3);
  std::vector<int8_t> a(kTileM * kTileK), b(kTileN * kTileK);
  for (int8_t& value : a) value = static_cast<int8_t>(random());
  for (int8_t& value : b) value = static_cast<int8_t>(random());
  std::vector<int8_t> shared_a(kOperandBytes), shared_b(kOperandBytes);
  for (int thread = 0; thread < kThreads; ++thread) {
    for (int step = 0; step < kCopiesPerThread; ++step) {
      const Place place = CopyPlace(thread, step);
      const int source = place.row * kTileK + place.chunk * kChunk;
      const int target = SharedOffset(place.row, place.chunk);
      std::memcpy(shared_a.data() + target, a.data() + source, kChunk);
      std::memcpy(shared_b.data() + target, b.data() + source, kChunk);
    }
  }
  std::vector<int32_t> result(kTileM * kTileN, -1);
  for (int warp = 0; warp < kThreads / 32; ++warp) {
    const int warp_m = warp / kWarpsN * kWarpM;
    const int warp_n = warp % kWarpsN * kWarpN;
    for (int i = 0; i < kWarpM / 16; ++i) {
      for (int j = 0; j < kWarpN / 8; ++j) {
        int32_t sums[32][4] = {};
        for (int half = 0; half < kTileK / 32; ++half) {
          const Registers tokens = LoadMatrices(
              shared_a, [&](int lane) { return TokenFragment(lane, warp_m + i * 16, half); });
          const Registers weights = LoadMatrices(
              shared_b, [&](int lane) { return WeightFragment(lane, warp_n + j / 2 * 16, half); });
          MultiplyAdd(tokens, weights, j % 2 * 2, &sums);
        }
        for (int lane = 0; lane < 32; ++lane) {
          for (int v = 0; v < 4; ++v) {
            result[(warp_m + i * 16 + SumRow(lane, v)) * kTileN + warp_n + j * 8 +
                   SumColumn(lane, v)] = sums[lane][v];
          }
        }
      }
    }
  }
  int wrong = 0;
  for (int m = 0; m < kTileM; ++m) {
    for (int n = 0; n < kTileN; ++n) {
      int32_t sum = 0;
      for (int k = 0; k < kTileK; ++k) sum += a[m * kTileK + k] * b[n * kTileK + k];
      wrong += sum != result[m * kTileN + n];
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("blocks and tiles of the result correspond one to one") {
  for (int64_t tiles_m : {1, 2, 7, 8, 9, 16, 37, 591}) {
    for (int64_t tiles_n : {1, 3, 40}) {
      std::set<std::pair<int64_t, int64_t>> tiles;
      for (int64_t block = 0; block < tiles_m * tiles_n; ++block) {
        const Tile tile = TileOfBlock(block, tiles_m, tiles_n);
        REQUIRE((tile.m >= 0 && tile.m < tiles_m && tile.n >= 0 && tile.n < tiles_n));
        tiles.insert({tile.m, tile.n});
      }
      CHECK(static_cast<int64_t>(tiles.size()) == tiles_m * tiles_n);
    }
  }
}

}  // namespace wanlite::ops::cuda
