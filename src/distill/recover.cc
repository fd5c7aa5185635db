// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/recover.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/distill/distill.h"
#include "src/train/component_training.h"
#include "src/train/loop_options.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/train.h"

namespace wanlite {
namespace {

constexpr double kDamping = 0.01;

absl::Status CheckParts(RecoverOptions& options) {
  const bool taught = options.teacher() != RecoverOptions::NO_TEACHER;
  if (!options.has_data() && !options.has_output() && !options.has_features()) {
    if (taught) {
      options.set_output(1);
    } else {
      options.set_data(1);
    }
  }
  const std::pair<const char*, double> parts[] = {
      {"data", options.data()}, {"output", options.output()}, {"features", options.features()}};
  for (const auto& [field, part] : parts) {
    if (!(part >= 0 && std::isfinite(part))) {
      return OptionError(field, absl::StrCat(part, " is no weight, wanted at least 0"));
    }
  }
  if (options.data() + options.output() + options.features() == 0) {
    return OptionError("output", "0, as data and features are: nothing is left to train for");
  }
  if (!taught && options.output() > 0) {
    return OptionError("output", "compares with a teacher, and there is none (NO_TEACHER)");
  }
  if (!taught && options.features() > 0) {
    return OptionError("features", "compare with a teacher, and there is none (NO_TEACHER)");
  }
  if (taught && options.output() + options.features() == 0) {
    return OptionError("teacher",
                       "a teacher has no part in the loss (output and features are 0); "
                       "say NO_TEACHER");
  }
  const int64_t after = options.features_after();
  if (after < 0 || after >= options.loop().steps()) {
    return OptionError(
        "features_after",
        absl::StrCat(after, " is not in [0, loop.steps = ", options.loop().steps(), ")"));
  }
  if (after > 0 && options.features() == 0) {
    return OptionError("features_after", "features have no part in the loss");
  }
  if (after > 0 && options.data() + options.output() == 0) {
    return OptionError("features_after", absl::StrCat("the first ", after,
                                                      " steps would have no loss: give data or "
                                                      "output a part in it"));
  }
  return absl::OkStatus();
}

// The whole network is distilled: the pass distill under this name, with the terms that the parts
// come to.
absl::StatusOr<std::unique_ptr<Pass>> MakeRecoverModel(const RecoverOptions& options) {
  DistillOptions training;
  training.set_teacher(static_cast<DistillOptions::Teacher>(options.teacher()));
  training.set_teacher_path(options.teacher_path());
  *training.mutable_components() = options.components();
  *training.mutable_train() = options.train();
  *training.mutable_loop() = options.loop();
  training.set_recompute(options.recompute());
  training.set_keep_zeros(options.keep_zeros());
  const auto add = [&](const char* name, double weight) {
    LossTerm& term = *training.add_terms();
    term.set_name(name);
    term.set_weight(weight);
    return &term;
  };
  if (options.data() > 0) {
    add("data", options.data())->mutable_squared_error()->set_wanted(SquaredErrorTerm::DATA);
  }
  if (options.output() > 0) add("teacher", options.output())->mutable_squared_error();
  if (options.features() > 0) {
    LossTerm& term = *add("features", options.features());
    term.mutable_features()->set_projection(FeatureTerm::NEVER);
    term.set_from_step(options.features_after());
  }
  WANLITE_RETURN_IF_ERROR(ResolveDistill(training));
  return MakeDistillAs("recover", std::make_unique<RecoverOptions>(options), std::move(training));
}

}  // namespace

std::string TeacherRef(const RecoverOptions& options) {
  return train::TeacherRef(options.teacher_path(), options.teacher() == RecoverOptions::BEFORE);
}

std::string TeacherText(const RecoverOptions& options) {
  return train::TeacherText(options.teacher_path(), options.teacher() == RecoverOptions::BEFORE);
}

absl::StatusOr<std::vector<std::string>> RecoveredComponents(const ModelView& model,
                                                             const RecoverOptions& options) {
  return train::TrainedComponents(model,
                                  {options.components().begin(), options.components().end()});
}

absl::StatusOr<std::unique_ptr<Pass>> MakeRecover(const RecoverOptions& options) {
  RecoverOptions resolved = options;
  if (!RecoverOptions::Method_IsValid(resolved.method())) {
    return OptionError("method", absl::StrCat(static_cast<int>(resolved.method()),
                                              " is not LEAST_SQUARES, BLOCKS or MODEL"));
  }
  if (!RecoverOptions::Teacher_IsValid(resolved.teacher())) {
    return OptionError("teacher", absl::StrCat(static_cast<int>(resolved.teacher()),
                                               " is not INPUT, BEFORE or NO_TEACHER"));
  }
  if (!resolved.teacher_path().empty() && resolved.teacher() != RecoverOptions::INPUT) {
    return OptionError("teacher_path", "is in place of INPUT; leave out teacher");
  }
  const bool model = resolved.method() == RecoverOptions::MODEL;
  const bool trains = resolved.method() != RecoverOptions::LEAST_SQUARES;
  if (!model && resolved.teacher() == RecoverOptions::NO_TEACHER) {
    return OptionError("teacher",
                       "NO_TEACHER is of the method MODEL alone: this one fits to what "
                       "a teacher's layers give");
  }
  if (!trains && resolved.teacher() == RecoverOptions::BEFORE) {
    return OptionError("teacher",
                       "BEFORE has nothing to teach LEAST_SQUARES: its layers are those that are "
                       "fitted");
  }
  struct Given {
    const char* field;
    bool given, allowed;
    const char* of;
  };
  const Given fields[] = {
      {"loop", resolved.has_loop(), trains, "BLOCKS and MODEL"},
      {"train", resolved.train_size() > 0, trains, "BLOCKS and MODEL"},
      {"components", resolved.components_size() > 0, trains,
       "BLOCKS and MODEL; LEAST_SQUARES has linears { components }"},
      {"data", resolved.has_data(), model, "MODEL"},
      {"output", resolved.has_output(), model, "MODEL"},
      {"features", resolved.has_features(), model, "MODEL"},
      {"features_after", resolved.features_after() != 0, model, "MODEL"},
      {"keep_zeros", resolved.has_keep_zeros(), trains, "BLOCKS and MODEL"},
      {"recompute", resolved.recompute(), model, "MODEL"},
      {"damping", resolved.has_damping(), !trains, "LEAST_SQUARES"},
      {"linears", resolved.has_linears(), !trains, "LEAST_SQUARES"},
  };
  for (const Given& field : fields) {
    if (field.given && !field.allowed) {
      return OptionError(field.field, absl::StrCat("is an option of ", field.of));
    }
  }
  if (!trains) {
    if (!resolved.has_damping()) resolved.set_damping(kDamping);
    if (!(resolved.damping() > 0 && resolved.damping() <= 1)) {
      return OptionError("damping", absl::StrCat(resolved.damping(), " is not in (0, 1]"));
    }
    return MakeRecoverLeastSquares(std::move(resolved));
  }
  if (!resolved.has_keep_zeros()) resolved.set_keep_zeros(true);
  if (!resolved.has_loop()) return OptionError("loop", "is missing: how long it is trained");
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(train::LoopOf(resolved.loop()), "loop"));
  if (!model) return MakeRecoverBlocks(std::move(resolved));
  WANLITE_RETURN_IF_ERROR(CheckParts(resolved));
  return MakeRecoverModel(resolved);
}

}  // namespace wanlite
