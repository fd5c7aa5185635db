// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Where things lie in the INT8 matrix kernel: which thread copies, loads, multiplies and stores
// what. Plain integer maps, so that a host test can play a whole tile through them.
//
// A block makes a 128 x 128 tile of the result with 8 warps, two along the tokens and four along
// the weights, each 64 x 32. It steps through the features 64 at a time: both operands lie in
// shared memory as 128 rows of 64 bytes.
#ifndef WANLITE_SRC_OPS_CUDA_INT8_TILES_H_
#define WANLITE_SRC_OPS_CUDA_INT8_TILES_H_

#include <cstdint>

#include "src/ops/int8_math.h"

namespace wanlite::ops::cuda {

inline constexpr int kTileM = 128;
inline constexpr int kTileN = 128;
inline constexpr int kTileK = 64;
inline constexpr int kWarpM = 64;
inline constexpr int kWarpN = 32;
inline constexpr int kWarpsN = kTileN / kWarpN;
inline constexpr int kThreads = 32 * (kTileM / kWarpM) * kWarpsN;
inline constexpr int kStages = 3;
// Bytes moved by one asynchronous copy and by one row of a matrix fragment.
inline constexpr int kChunk = 16;
inline constexpr int kChunksPerRow = kTileK / kChunk;
inline constexpr int kOperandBytes = kTileM * kTileK;
inline constexpr int kCopiesPerThread = kOperandBytes / kChunk / kThreads;
static_assert(kTileM == kTileN, "both operands are copied alike");
// Tiles along the tokens that are worked on together, so that their weights are found in the L2
// cache.
inline constexpr int kTileGroup = 8;

struct Place {
  int row;
  int chunk;
};

// What thread `thread` copies in step `step` of kCopiesPerThread: four neighbours share a row.
WANLITE_HOST_DEVICE Place CopyPlace(int thread, int step) {
  const int slot = step * kThreads + thread;
  return {slot / kChunksPerRow, slot % kChunksPerRow};
}

// Byte offset of a chunk in an operand's shared memory. Chunks are permuted within their row so
// that the same chunk of eight consecutive rows, which ldmatrix reads at once, covers all 32 banks.
WANLITE_HOST_DEVICE int SharedOffset(int row, int chunk) {
  return row * kTileK + ((chunk ^ ((row >> 1) & 3)) * kChunk);
}

// The row whose address lane `lane` gives to ldmatrix.x4 for the tokens' fragment of
// mma.m16n8k32: 16 rows from `first_row`, 32 bytes from chunk 2 * `step`.
WANLITE_HOST_DEVICE Place TokenFragment(int lane, int first_row, int step) {
  const int matrix = lane >> 3;
  return {first_row + (matrix & 1) * 8 + (lane & 7), step * 2 + (matrix >> 1)};
}

// The same for the weights' fragments of two neighbouring mma, 16 rows of the [n, k] operand:
// registers 0 and 1 belong to the first, 2 and 3 to the second.
WANLITE_HOST_DEVICE Place WeightFragment(int lane, int first_row, int step) {
  const int matrix = lane >> 3;
  return {first_row + (matrix >> 1) * 8 + (lane & 7), step * 2 + (matrix & 1)};
}

// Where accumulator `index` (0 ... 3) of a lane lies in the 16 x 8 result of one mma.
WANLITE_HOST_DEVICE int SumRow(int lane, int index) { return (lane >> 2) + (index >> 1) * 8; }
WANLITE_HOST_DEVICE int SumColumn(int lane, int index) { return (lane & 3) * 2 + (index & 1); }

struct Tile {
  int64_t m;
  int64_t n;
};

// The tile of a block: groups of kTileGroup rows of tiles, walked column by column. A bijection
// between block numbers and tiles.
WANLITE_HOST_DEVICE Tile TileOfBlock(int64_t block, int64_t tiles_m, int64_t tiles_n) {
  const int64_t group = block / (kTileGroup * tiles_n);
  const int64_t first_m = group * kTileGroup;
  const int64_t left = tiles_m - first_m;
  const int64_t height = left < kTileGroup ? left : kTileGroup;
  const int64_t within = block - first_m * tiles_n;
  return {first_m + within % height, within / height};
}

}  // namespace wanlite::ops::cuda

#endif  // WANLITE_SRC_OPS_CUDA_INT8_TILES_H_
