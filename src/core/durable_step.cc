// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/durable_step.h"

#include <atomic>

namespace wanlite {
namespace {

std::atomic<int> durable_steps{0};

}  // namespace

DurableStep::DurableStep() { ++durable_steps; }
DurableStep::~DurableStep() { --durable_steps; }
bool DurableStep::InProgress() { return durable_steps > 0; }

}  // namespace wanlite
