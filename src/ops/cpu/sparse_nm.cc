// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// N:M sparse products on the CPU. Where there are kernels they skip the zeros: few tokens by dot
// products with the features that a row keeps, more of them many at a time, of which each kept
// value meets one vector. Elsewhere rows are expanded, some at a time, for a dense product.

#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/check_group_args.h"
#include "src/ops/cpu/aligned_buffer.h"
#include "src/ops/cpu/expanded_product.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/cpu/sparse_kernels.h"
#include "src/ops/ops.h"
#include "src/ops/sparse_math.h"

namespace wanlite::ops {
namespace {

// Up to so many tokens are multiplied one by one.
constexpr int64_t kDotTokens = 4;
// Up to so many, where there are kernels for tiles, tile by tile.
constexpr int64_t kTiledTokens = 48;
// Features times tokens whose columns stay in the first-level cache while rows pass.
constexpr int64_t kColumnFloats = 8192;
// Rows that meet these one after the other, and panels of tokens whose columns are packed: as many
// as have so many floats.
constexpr int64_t kRowsAtOnce = 128;
constexpr int64_t kMaxPanels = 16;
constexpr int64_t kTokenBlockFloats = int64_t{1} << 22;

// The rows of a weight.
class SparseRows {
 public:
  SparseRows(const at::Tensor& values, const at::Tensor& places, int64_t n, int64_t m)
      : n_(n),
        m_(m),
        rows_(values.size(0)),
        kept_(values.size(1)),
        bytes_(places.size(1)),
        bits_(PlaceBits(m)),
        values_(values.contiguous()),
        places_(places.contiguous()) {
    place_data_ = places_.const_data_ptr<uint8_t>();
  }
  int64_t n() const { return n_; }
  int64_t m() const { return m_; }
  int64_t rows() const { return rows_; }
  int64_t kept() const { return kept_; }
  int64_t features() const { return kept_ / n_ * m_; }
  int64_t place_bytes() const { return bytes_; }
  bool is_2_of_4() const { return n_ == 2 && m_ == 4; }
  const uint8_t* places(int64_t row) const { return place_data_ + row * bytes_; }

  // `count` kept values of the row from `first` on, in fp32: in place, or in `room`.
  const float* Values(int64_t row, int64_t first, int64_t count, float* room) const {
    const int64_t begin = row * kept_ + first;
    if (values_.scalar_type() == at::kFloat) return values_.const_data_ptr<float>() + begin;
    DispatchFloating(values_.scalar_type(), [&](auto tag) {
      ReadRow(values_.const_data_ptr<decltype(tag)>() + begin, count, room);
    });
    return room;
  }

  // Their features: in [0, features()), whatever the places are. first: of a group.
  void Features(int64_t row, int64_t first, int64_t count, int32_t* index) const {
    const uint8_t* packed = places(row);
    int32_t group = static_cast<int32_t>(first / n_ * m_);
    if (is_2_of_4() && first % 4 == 0) {
      for (int64_t i = 0; i < count; i += 4, group += 8) {
        const uint8_t byte = packed[(first + i) / 4];
        index[i] = group + (byte & 3);
        index[i + 1] = group + (byte >> 2 & 3);
        if (i + 2 >= count) break;
        index[i + 2] = group + 4 + (byte >> 4 & 3);
        index[i + 3] = group + 4 + (byte >> 6);
      }
      return;
    }
    int64_t in_group = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = std::min(m_ - 1, PlaceAt(packed, bytes_, first + i, bits_));
      index[i] = group + static_cast<int32_t>(place);
      if (++in_group == n_) {
        in_group = 0;
        group += static_cast<int32_t>(m_);
      }
    }
  }

  // out: fp32 [features()].
  void Expand(int64_t row, float* out) const {
    thread_local std::vector<float> room;
    thread_local std::vector<int32_t> index;
    if (static_cast<int64_t>(room.size()) < kept_) room.resize(kept_);
    if (static_cast<int64_t>(index.size()) < kept_) index.resize(kept_);
    const float* values = Values(row, 0, kept_, room.data());
    Features(row, 0, kept_, index.data());
    std::fill_n(out, features(), 0.0f);
    for (int64_t i = 0; i < kept_; ++i) out[index[i]] += values[i];
  }

 private:
  const int64_t n_, m_, rows_, kept_, bytes_, bits_;
  const at::Tensor values_, places_;
  const uint8_t* place_data_;
};

void CheckSparseNm(const char* op, const at::Tensor& values, const at::Tensor& places, int64_t n,
                   int64_t m) {
  TORCH_CHECK(0 < n && n < m && m <= kMaxSparseGroup, "wanlite::", op, ": ", n, ":", m,
              " is no pattern; wanted 0 < n < m <= ", kMaxSparseGroup);
  const at::ScalarType dtype = values.scalar_type();
  TORCH_CHECK(values.dim() == 2 && values.size(1) > 0 && values.size(1) % n == 0 &&
                  (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf),
              "wanlite::", op, ": values must be float32, bfloat16 or float16 [out, in / ", m,
              " * ", n, "], found ", dtype, " ", values.sizes());
  TORCH_CHECK(
      places.dim() == 2 && places.scalar_type() == at::kByte && places.size(0) == values.size(0) &&
          places.size(1) == PlaceBytes(values.size(1), m) && places.device() == values.device(),
      "wanlite::", op, ": places must be uint8 [", values.size(0), ", ",
      PlaceBytes(values.size(1), m), "] on ", values.device(), ", found ", places.scalar_type(),
      " ", places.sizes(), " on ", places.device());
}

// y[t, row] for each of few tokens. x: fp32 [tokens, features].
void MultiplyFew(const SparseKernels& kernels, const SparseRows& rows, const float* x,
                 int64_t tokens, const float* bias, float* y) {
  const int64_t kept = rows.kept(), features = rows.features();
  ParallelFor(0, rows.rows(), std::max<int64_t>(1, 16384 / std::max<int64_t>(1, kept)),
              [&](int64_t begin, int64_t end) {
                std::vector<float> room(static_cast<size_t>(kept));
                std::vector<int32_t> index(rows.is_2_of_4() ? 0 : static_cast<size_t>(kept));
                for (int64_t row = begin; row < end; ++row) {
                  const float* values = rows.Values(row, 0, kept, room.data());
                  if (!rows.is_2_of_4()) rows.Features(row, 0, kept, index.data());
                  for (int64_t t = 0; t < tokens; ++t) {
                    const float* token = x + t * features;
                    float sum = 0.0f;
                    if (rows.is_2_of_4()) {
                      sum = kernels.dot_2_of_4(token, rows.places(row), values, kept);
                    } else {
                      float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                      for (int64_t i = 0; i < kept; ++i) part[i % 4] += values[i] * token[index[i]];
                      sum = (part[0] + part[1]) + (part[2] + part[3]);
                    }
                    y[t * rows.rows() + row] = sum + bias[row];
                  }
                }
              });
}

// Tokens that a kernel takes at once, for so many of them.
int64_t WidthFor(int64_t tokens) { return tokens <= 16 ? 16 : tokens <= 32 ? 32 : 64; }

SparseKernels::Accumulate AccumulateOf(const SparseKernels& kernels, int64_t width) {
  return width == 16   ? kernels.accumulate_16
         : width == 32 ? kernels.accumulate_32
                       : kernels.accumulate_64;
}

// x: fp32 [tokens, features] -> panels of [features, width], with zeros behind the last token.
void PackColumns(const float* x, int64_t tokens, int64_t features, int64_t width, float* panels) {
  ParallelFor(0, CeilDiv(tokens, width), 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      float* out = panels + panel * features * width;
      const int64_t used = std::min(width, tokens - panel * width);
      if (used < width) std::fill_n(out, features * width, 0.0f);
      constexpr int64_t kSquare = 16;
      for (int64_t first = 0; first < features; first += kSquare) {
        const int64_t last = std::min(features, first + kSquare);
        for (int64_t t = 0; t < used; ++t) {
          const float* token = x + (panel * width + t) * features;
          for (int64_t f = first; f < last; ++f) out[f * width + t] = token[f];
        }
      }
    }
  });
}

// The same for some tokens and 2:4: the features that a row keeps are picked out of a token's
// vectors.
void MultiplySome(const SparseKernels& kernels, const SparseRows& rows, const float* x,
                  int64_t tokens, const float* bias, float* y) {
  const int64_t kept = rows.kept(), features = rows.features(), n = rows.rows();
  const int64_t steps = CeilDiv(kept, 16);
  // With zeros behind the features, up to the end of the last step.
  const AlignedBuffer padded = NewAlignedBuffer(tokens * steps * 32 * 4);
  float* padded_data = reinterpret_cast<float*>(padded.get());
  for (int64_t t = 0; t < tokens; ++t) {
    std::fill_n(std::copy_n(x + t * features, features, padded_data + t * steps * 32),
                steps * 32 - features, 0.0f);
  }
  ParallelFor(0, CeilDiv(n, kTileRows), 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer lane_buffer = NewAlignedBuffer(kTileRows * steps * 64);
    int32_t* lanes = reinterpret_cast<int32_t*>(lane_buffer.get());
    // With zeros behind the last value of a row, up to the end of its last step.
    std::vector<float> room(static_cast<size_t>(kTileRows * steps * 16));
    const float* values[kTileRows];
    float sums[kTileRows * kTileTokens];
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first_row = tile * kTileRows;
      const int64_t used_rows = std::min(kTileRows, n - first_row);
      for (int64_t r = 0; r < kTileRows; ++r) {
        // Beyond the last row the last one again, which nobody reads.
        const int64_t row = first_row + std::min(r, used_rows - 1);
        kernels.lanes_2_of_4(rows.places(row), rows.place_bytes(), steps, kTileRows * 16,
                             lanes + r * 16);
        float* own = room.data() + r * steps * 16;
        values[r] = rows.Values(row, 0, kept, own);
        if (values[r] != own && kept % 16 != 0) {
          std::copy_n(values[r], kept, own);
          values[r] = own;
        }
      }
      for (int64_t first = 0; first < tokens; first += kTileTokens) {
        const int64_t used = std::min(kTileTokens, tokens - first);
        kernels.multiply_2_of_4(padded_data + first * steps * 32, used, lanes, values, steps, sums);
        for (int64_t t = 0; t < used; ++t) {
          for (int64_t r = 0; r < used_rows; ++r) {
            y[(first + t) * n + first_row + r] = sums[t * kTileRows + r] + bias[first_row + r];
          }
        }
      }
    }
  });
}

// The same for many tokens.
void MultiplyMany(const SparseKernels& kernels, const SparseRows& rows, const float* x,
                  int64_t tokens, const float* bias, float* y) {
  const int64_t kept = rows.kept(), features = rows.features(), n = rows.rows();
  const int64_t width = WidthFor(tokens);
  const SparseKernels::Accumulate accumulate = AccumulateOf(kernels, width);
  const int64_t block =
      std::min(CeilDiv(tokens, width),
               std::clamp<int64_t>(kTokenBlockFloats / (features * width), 1, kMaxPanels));
  const AlignedBuffer columns = NewAlignedBuffer(block * width * features * 4);
  const float* column_data = reinterpret_cast<const float*>(columns.get());
  // Kept values of a row that are worked on together.
  const int64_t chunk = std::max<int64_t>(1, kColumnFloats / width / rows.m()) * rows.n();
  for (int64_t first = 0; first < tokens; first += block * width) {
    const int64_t used = std::min(block * width, tokens - first);
    const int64_t panels = CeilDiv(used, width);
    PackColumns(x + first * features, used, features, width,
                reinterpret_cast<float*>(columns.get()));
    ParallelFor(0, CeilDiv(n, kRowsAtOnce), 1, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> index(static_cast<size_t>(kRowsAtOnce * chunk));
      std::vector<float> room(static_cast<size_t>(kRowsAtOnce * chunk));
      const float* values[kRowsAtOnce];
      const AlignedBuffer sum_buffer = NewAlignedBuffer(kRowsAtOnce * panels * width * 4);
      float* sums = reinterpret_cast<float*>(sum_buffer.get());
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first_row = item * kRowsAtOnce;
        const int64_t used_rows = std::min(kRowsAtOnce, n - first_row);
        for (int64_t r = 0; r < used_rows; ++r) {
          std::fill_n(sums + r * panels * width, panels * width, bias[first_row + r]);
        }
        for (int64_t next = 0; next < kept; next += chunk) {
          const int64_t count = std::min(chunk, kept - next);
          for (int64_t r = 0; r < used_rows; ++r) {
            values[r] = rows.Values(first_row + r, next, count, room.data() + r * chunk);
            rows.Features(first_row + r, next, count, index.data() + r * chunk);
          }
          for (int64_t panel = 0; panel < panels; ++panel) {
            const float* source = column_data + panel * features * width;
            for (int64_t r = 0; r < used_rows; ++r) {
              accumulate(source, index.data() + r * chunk, values[r], count,
                         sums + (r * panels + panel) * width);
            }
          }
        }
        for (int64_t t = 0; t < used; ++t) {
          float* out = y + (first + t) * n + first_row;
          for (int64_t r = 0; r < used_rows; ++r) out[r] = sums[r * panels * width + t];
        }
      }
    });
  }
}

using Multiply = void (*)(const SparseKernels&, const SparseRows&, const float*, int64_t,
                          const float*, float*);

Multiply MultiplyFor(const SparseKernels& kernels, const SparseRows& rows, int64_t tokens) {
  if (tokens <= kDotTokens) return &MultiplyFew;
  const bool tiles = rows.is_2_of_4() && kernels.multiply_2_of_4 != nullptr;
  return tiles && tokens <= kTiledTokens ? &MultiplySome : &MultiplyMany;
}

at::Tensor SparseNmLinearCpu(const at::Tensor& x, const at::Tensor& values,
                             const at::Tensor& places, int64_t n, int64_t m,
                             const std::optional<at::Tensor>& bias) {
  const char* op = "sparse_nm_linear";
  CheckFloating(op, x);
  CheckSparseNm(op, values, places, n, m);
  const SparseRows rows(values, places, n, m);
  TORCH_CHECK(x.size(-1) == rows.features(), "wanlite::", op, ": x has ", x.size(-1),
              " features, the weight takes ", rows.features());
  CheckBias(op, rows.rows(), x.device(), bias);
  const SparseKernels* kernels = SparseKernelsFor(ActiveCpuIsa());
  if (kernels == nullptr) {
    return ExpandedProduct(
        x, rows.rows(), [&](int64_t row, float* out) { rows.Expand(row, out); }, bias);
  }
  const at::Tensor tokens = x.to(at::kFloat).reshape({-1, rows.features()}).contiguous();
  const at::Tensor y = at::empty({tokens.size(0), rows.rows()}, tokens.options());
  if (y.numel() > 0) {
    const at::Tensor offsets = BiasOrZeros(bias, rows.rows());
    const Multiply multiply = MultiplyFor(*kernels, rows, tokens.size(0));
    multiply(*kernels, rows, tokens.const_data_ptr<float>(), tokens.size(0),
             offsets.const_data_ptr<float>(), y.mutable_data_ptr<float>());
  }
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = rows.rows();
  return y.to(x.scalar_type()).reshape(shape);
}

at::Tensor SparseNmDequantizeCpu(const at::Tensor& values, const at::Tensor& places, int64_t n,
                                 int64_t m) {
  CheckSparseNm("sparse_nm_dequantize", values, places, n, m);
  const SparseRows rows(values, places, n, m);
  return ExpandRows(rows.rows(), rows.features(),
                    [&](int64_t row, float* out) { rows.Expand(row, out); });
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("sparse_nm_linear", &SparseNmLinearCpu);
  m.impl("sparse_nm_dequantize", &SparseNmDequantizeCpu);
}

}  // namespace

const SparseKernels* SparseKernelsFor(CpuIsa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return &kSparseKernelsAvx512;
    case CpuIsa::kAvx2:
      return &kSparseKernelsAvx2;
    case CpuIsa::kPortable:
      break;
  }
#endif
  return nullptr;
}

bool SparseNmSkips() { return SparseKernelsFor(ActiveCpuIsa()) != nullptr; }

}  // namespace wanlite::ops
