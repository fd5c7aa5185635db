// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What of LibTorch the library's own files use: tensors with their operations, modules and
// gradients. It is precompiled. <torch/torch.h> brings data loaders, optimizers and all ready-made
// layers besides, which costs every file twice as much.
#ifndef WANLITE_SRC_CORE_LIBTORCH_H_
#define WANLITE_SRC_CORE_LIBTORCH_H_

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/types.h>

#endif  // WANLITE_SRC_CORE_LIBTORCH_H_
