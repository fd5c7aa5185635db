// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The most arithmetic one thread of this machine can do, measured: independent chains of the widest
// multiply-add instruction, all in registers. Nominal peaks need a clock frequency, which virtual
// machines do not tell and which vector code lowers.
#ifndef WANLITE_BENCH_PEAK_H_
#define WANLITE_BENCH_PEAK_H_

namespace wanlite::bench {

// Operations (2 per multiply-add) a second of CPU time. 0: not known, because the machine has no
// such instruction, or has matrix units (AMX) that this does not measure.
struct Peak {
  double fp32_op_per_second = 0;
  double bf16_op_per_second = 0;  // bf16 products summed in fp32
  double int8_op_per_second = 0;  // products of bytes summed in int32
};

// Measured once per process, in about 0.1 s; the best of several tries.
const Peak& MachinePeak();

}  // namespace wanlite::bench

#endif  // WANLITE_BENCH_PEAK_H_
