// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass distill: components of a model trained as wholes to do what a teacher does.
#ifndef WANLITE_SRC_DISTILL_DISTILL_H_
#define WANLITE_SRC_DISTILL_DISTILL_H_

#include <google/protobuf/repeated_field.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

absl::StatusOr<std::unique_ptr<Pass>> MakeDistill(const DistillOptions& options);

// The same under another name, for passes whose options are translated. options: theirs, resolved,
// for the lineage; training: what they come to, resolved by ResolveDistill().
std::unique_ptr<Pass> MakeDistillAs(std::string name,
                                    std::unique_ptr<google::protobuf::Message> options,
                                    DistillOptions training);
// Fills in every default; OptionError for what cannot be meant.
absl::Status ResolveDistill(DistillOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_DISTILL_H_
