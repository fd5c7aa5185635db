// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// wanlite's operators as C++ functions. Each goes through LibTorch's dispatcher
// (torch.ops.wanlite.*), which picks the CPU or the CUDA kernel by the device of its tensors; call
// EnsureCuda() (src/ops/cuda_loader.h) before making CUDA tensors. All throw c10::Error on shapes,
// dtypes or devices that do not fit, and when a gradient is asked for that they do not have: but
// for Int8Linear() they are forward only.
#ifndef WANLITE_SRC_OPS_OPS_H_
#define WANLITE_SRC_OPS_OPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace wanlite::ops {

// y = x W^T + bias with INT8 weights and activations: each token of x is quantized by its own scale
// max|x| / 127, products are summed exactly in int32, and the result is scaled back in fp32. A
// token that holds an infinity or a NaN gives a row of NaN.
//   x: fp32, bf16 or fp16 [..., in]      weight: int8 [out, in]     weight_scale: fp32 [out, 1]
//   bias: floating [out] or absent       result: [..., out] in x's dtype
// rotation_group: 0, or 4, 16, 64, 256 or 1024, which must divide `in`: x is rotated by
// HadamardRotate() in fp32 before it is quantized; the weight must have been rotated the same way.
// Takes gradients of x (through the rounding as if it were none: dy times the dequantized matrix)
// and of the bias; the weight is frozen.
at::Tensor Int8Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& bias, int64_t rotation_group);

// The two steps of Int8Linear(), to the same bits:
// Int8Linear(x, …) == Int8Gemm(QuantizePerToken(x, rotation_group), …, x's dtype).

// Symmetric INT8 per token (last dimension). x: floating [..., n] -> int8 [..., n] in [-127, 127]
// and scale fp32 [..., 1], rounding half to even. Zero tokens have scale 0; tokens with an infinity
// or a NaN have scale NaN.
std::tuple<at::Tensor, at::Tensor> QuantizePerToken(const at::Tensor& x,
                                                    int64_t rotation_group = 0);
// q, scale: of QuantizePerToken(). dtype: of the result [..., out], fp32, bf16 or fp16.
at::Tensor Int8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                    at::ScalarType dtype);

// weight: int8 [out, in], of any values -> uint8 [bytes], about one a weight: in the order in which
// the kernels that this process uses read it. Not for files: another CPU may want another order.
// CPU.
at::Tensor Int8Pack(const at::Tensor& weight);
// Int8Gemm() to the bit with a weight packed by Int8Pack(), of `in` features as q has and as many
// rows as weight_scale. CPU.
at::Tensor Int8GemmPacked(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                          const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                          at::ScalarType dtype);

// y = (x - mean) / sqrt(variance + eps) * weight + bias over the last axis, in fp32, rounded to
// `dtype`. x: fp32, bf16 or fp16 [..., n]; weight, bias: fp32, of x's shape or with ones in the
// last leading axes, [n] included. Sums run in a fixed order: the bits are those of every
// instruction set. CPU.
at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps, at::ScalarType dtype);
// QuantizePerToken(LayerNorm(…), rotation_group), to the bit, without the tensor between. CPU.
std::tuple<at::Tensor, at::Tensor> LayerNormQuantize(const at::Tensor& x, const at::Tensor& weight,
                                                     const at::Tensor& bias, double eps,
                                                     at::ScalarType dtype, int64_t rotation_group);

// y = x / sqrt(mean(x^2) + eps) * weight, and then quantized, as LayerNorm() and
// LayerNormQuantize(). CPU.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType dtype);
std::tuple<at::Tensor, at::Tensor> RmsNormQuantize(const at::Tensor& x, const at::Tensor& weight,
                                                   double eps, at::ScalarType dtype,
                                                   int64_t rotation_group);

// RmsNorm() in x's dtype, then each pair of channels (2 i, 2 i + 1) of every head, as a complex
// number, times rotary[token, i]. x: [batch, tokens, n]; weight: fp32 [n]; rotary: complex64
// [tokens, head_dim / 2], where head_dim divides n. CPU.
at::Tensor RmsNormRotary(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rotary,
                         double eps);

// softmax(q k^T / sqrt(head_dim)) v of every head. q: fp32 [batch, tokens, channels]; k, v: fp32
// [batch, keys, channels], keys >= 1; channels are those of the first head, then of the second, and
// so on. Result like q. Sums run over channels and keys in order, by fused multiply-adds. A head
// with a score that is infinite or a NaN gives NaN in that token. CPU, where AttentionFits().
at::Tensor Attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     int64_t head_dim);
// Whether this process has kernels for heads of this size.
bool AttentionFits(int64_t head_dim);

// y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) in fp32, rounded to x's dtype; then, with a
// gate of x's shape and dtype (or none), y times it, rounded again. The bits are those of
// every instruction set. CPU.
at::Tensor Gelu(const at::Tensor& x, const std::optional<at::Tensor>& gate);
// QuantizePerToken(Gelu(…), rotation_group), to the bit, without the tensor between. CPU.
std::tuple<at::Tensor, at::Tensor> GeluQuantize(const at::Tensor& x,
                                                const std::optional<at::Tensor>& gate,
                                                int64_t rotation_group);

// x R for each run of `group` features of the last dimension, where R is the Kronecker power of the
// regular 4x4 Hadamard matrix (ConvRot, arXiv 2512.03673). R is symmetric and orthogonal: applying
// it twice gives x back up to rounding. Computed in fp32; result in x's shape and dtype.
at::Tensor HadamardRotate(const at::Tensor& x, int64_t group);

// Group-wise INT4 (src/ops/int4_math.h), two codes a byte, the even feature in the low nibble:
//   weight:       uint8 [out, in / 2], codes 0 ... 15      x, bias, results: as above
//   weight_scale: fp32 or bf16 [out, in / group]; the group is even
//   zero:         uint8 of weight_scale's shape; absent: 8 everywhere
//   W = (code - zero) * weight_scale
// All forward only, on the CPU.

// y = x W^T + bias, with W expanded to fp32, and summed in fp32.
at::Tensor Int4Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& zero, const std::optional<at::Tensor>& bias);
// W, fp32 [out, in].
at::Tensor Int4Dequantize(const at::Tensor& weight, const at::Tensor& weight_scale,
                          const std::optional<at::Tensor>& zero);
// W4A8. q, scale: of QuantizePerToken(). Sums over a group are exact, sums of groups in fp32, in
// their order:
//   y = (sum over groups of (sum of q (code - zero)) * weight_scale) * scale + bias
// dtype: of the result [..., out].
at::Tensor W4A8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype);
// W4A8Gemm() to the bit with a weight that W4A8Pack() laid out for the kernels of this process, as
// Int8Pack() does: uint8 [bytes], half a byte a weight and eight a group. W4A8Packs(): whether
// there are kernels for groups of this size.
bool W4A8Packs(int64_t in_features, int64_t group);
at::Tensor W4A8Pack(const at::Tensor& weight, const at::Tensor& weight_scale,
                    const std::optional<at::Tensor>& zero);
at::Tensor W4A8GemmPacked(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                          int64_t out_features, int64_t group,
                          const std::optional<at::Tensor>& bias, at::ScalarType dtype);
// W4A4. q, scale: of QuantizeInt4() with the weight's group. The same sums with weight_scale *
// scale of the group. The CPU multiplies at the speed of INT8.
at::Tensor W4A4Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype);
// Symmetric INT4 by groups of the last dimension. x: floating [..., n] -> codes uint8 [..., n / 2],
// 1 ... 15, and scale fp32 [..., n / group]. A group of zeros has scale 0, one with an infinity or
// a NaN has scale NaN.
std::tuple<at::Tensor, at::Tensor> QuantizeInt4(const at::Tensor& x, int64_t group);

// A matrix, fp32, bf16 or fp16 [out, in] on the CPU, rounded to the nearest codes with scales in
// bf16: as QuantizeInt4(), or with zero points. No operator.
struct Int4Matrix {
  at::Tensor weight, weight_scale, zero;  // zero: undefined when symmetric
};
Int4Matrix QuantizeInt4Weight(const at::Tensor& weight, int64_t group, bool zero_point);

// INT8 weights, int8 [out, in] with fp32 [out, 1], with inputs in floating point: y = x W^T + bias
// with W expanded to fp32, and summed in fp32. Forward only, on the CPU.
at::Tensor Int8WeightLinear(const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias);
// QuantizePerToken() with a given scale for all tokens, fp32 [1], positive; what lies beyond 127
// of it is 127. -> int8 [..., n] and fp32 [..., 1], NaN for tokens with an infinity or a NaN. On
// the CPU.
std::tuple<at::Tensor, at::Tensor> QuantizeStatic(const at::Tensor& x, const at::Tensor& scale,
                                                  int64_t rotation_group = 0);

// FP8 e4m3 (src/ops/fp8_math.h): codes float8_e4m3fn with an fp32 scale for each row or token.
// Forward only, on the CPU, which multiplies in fp32.

// scale = max|x| / 448 over one token; codes as torch rounds x / scale. x: floating [..., n] ->
// [..., n] and [..., 1].
std::tuple<at::Tensor, at::Tensor> QuantizeFp8(const at::Tensor& x);
// y = x W^T + bias. weight: [out, in]; weight_scale: [out, 1].
at::Tensor Fp8Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                     const std::optional<at::Tensor>& bias);
// y = (sum of q w) (scale * weight_scale) + bias. q, scale: of QuantizeFp8().
at::Tensor Fp8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                   const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                   at::ScalarType dtype);

// NVFP4: e2m1 codes, two a byte, the even feature in the low nibble, as those of INT4; an e4m3
// scale for 16 features, and an fp32 one for all of the matrix: W = e2m1 * (weight_scale *
// weight_scale_2). Forward only, on the CPU.
//   weight: uint8 [out, in / 2]; weight_scale: float8_e4m3fn [out, in / 16]; weight_scale_2: fp32
//   [1]

// y = x W^T + bias, in fp32.
at::Tensor Nvfp4Linear(const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                       const std::optional<at::Tensor>& bias);
// W, fp32 [out, in].
at::Tensor Nvfp4Dequantize(const at::Tensor& weight, const at::Tensor& weight_scale,
                           const at::Tensor& weight_scale_2);
// Sums over a group are exact, sums of groups in fp32, in their order. q, scale: of
// QuantizeNvfp4(). The CPU multiplies at less than the speed of INT8.
at::Tensor Nvfp4Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                     const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                     const std::optional<at::Tensor>& bias, at::ScalarType dtype);
// Tokens: each as a matrix of its own. x: floating [..., n] -> codes uint8 [..., n / 2] and e4m3
// scales times that of the token, fp32 [..., n / 16].
std::tuple<at::Tensor, at::Tensor> QuantizeNvfp4(const at::Tensor& x);
// A matrix, fp32, bf16 or fp16 [out, in] on the CPU, rounded to the nearest codes, with
// weight_scale_2 = max|W| / (6 * 448). No operator. NaN scales where it holds an infinity or a NaN.
struct Nvfp4Matrix {
  at::Tensor weight, weight_scale, weight_scale_2;
};
Nvfp4Matrix QuantizeNvfp4Weight(const at::Tensor& weight);

// N:M sparse (src/ops/sparse_math.h): y = x W^T + bias, where a row of W holds `values` at `places`
// and zeros elsewhere, summed in fp32. Places beyond their group count as its last one, and values
// of equal places add up. Forward only, on the CPU.
//   values: fp32, bf16 or fp16 [out, in / m * n]   x, bias, result: as above
//   places: uint8 [out, PlaceBytes(in / m * n, m)]
at::Tensor SparseNmLinear(const at::Tensor& x, const at::Tensor& values, const at::Tensor& places,
                          int64_t n, int64_t m, const std::optional<at::Tensor>& bias);
// W, fp32 [out, in].
at::Tensor SparseNmDequantize(const at::Tensor& values, const at::Tensor& places, int64_t n,
                              int64_t m);
// Whether this process has kernels that skip the zeros. Without, W is expanded some rows at a time.
bool SparseNmSkips();

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_OPS_H_
