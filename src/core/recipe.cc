// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/recipe.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/input_limits.h"
#include "src/core/option_field.h"
#include "src/core/proto_text.h"
#include "src/core/sha256.h"
#include "src/core/text_index.h"
#include "src/proto/recipe.pb.h"
#include "wanlite/status.h"

namespace wanlite {

namespace pb = ::google::protobuf;

struct ParsedRecipe::Rep {
  std::string name;
  uint64_t seed = 0;
  std::vector<RecipeStage> stages;
  std::string resolved_text;
};

namespace {

// Far above any recipe; bounds the work that a hostile text can cause.
constexpr int kMaxPasses = 256;

std::vector<std::string> PassFields() {
  std::vector<std::string> names;
  const pb::OneofDescriptor& passes = *PassSpec::descriptor()->FindOneofByName("pass");
  for (int i = 0; i < passes.field_count(); ++i) names.push_back(passes.field(i)->name());
  return names;
}

// The options message of a PassSpec, out of its Any where need be.
absl::StatusOr<std::unique_ptr<pb::Message>> OptionsOf(const PassSpec& spec) {
  const pb::OneofDescriptor& passes = *PassSpec::descriptor()->FindOneofByName("pass");
  const pb::Reflection& reflection = *spec.GetReflection();
  const pb::FieldDescriptor* field = reflection.GetOneofFieldDescriptor(spec, &passes);
  const pb::Message& options = reflection.GetMessage(spec, field);
  if (!spec.has_custom()) {
    std::unique_ptr<pb::Message> copy(options.New());
    copy->CopyFrom(options);
    return copy;
  }
  const std::string& url = spec.custom().type_url();
  const std::string type = url.substr(url.rfind('/') + 1);
  if (type.empty()) {
    return absl::InvalidArgumentError(
        "names no options message, write custom { [type.googleapis.com/your.Options] { … } }");
  }
  const pb::Descriptor* descriptor =
      pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("no options message \"", type, "\" is known to this program"));
  }
  std::unique_ptr<pb::Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!message->ParseFromString(spec.custom().value())) {
    return absl::InvalidArgumentError(absl::StrCat("the value is no ", type));
  }
  return message;
}

// How far a round's end is on the way to a pass's target: 0 at the start, 1 after the last.
double WayGone(Repeat::Schedule schedule, int round, int rounds) {
  const double x = static_cast<double>(round) / static_cast<double>(rounds);
  return schedule == Repeat::CUBIC ? 1 - (1 - x) * (1 - x) * (1 - x) : x;
}

// Another seed for each round (the finalizer of SplitMix64, whose outputs differ for different
// inputs).
uint64_t SeedOfRound(uint64_t seed, int round) {
  uint64_t z = seed + static_cast<uint64_t>(round) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Builds the passes of a recipe's messages, and resolves their options in place.
class RecipeReader {
 public:
  RecipeReader(absl::string_view file_name, const TextIndex& index, const PassRegistry& registry,
               Recipe& recipe)
      : file_name_(file_name), index_(index), registry_(registry), recipe_(recipe) {}

  absl::StatusOr<std::vector<RecipeStage>> Read() {
    for (int i = 0; i < recipe_.passes_size(); ++i) {
      PassSpec& spec = *recipe_.mutable_passes(i);
      const std::string path = absl::StrCat("passes[", i, "]");
      if (spec.has_repeat()) {
        WANLITE_RETURN_IF_ERROR(ReadRepeat(path + ".repeat", *spec.mutable_repeat()));
      } else {
        WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const Pass> pass, ReadPass(path, spec));
        RecipeStage stage;
        stage.pass = std::move(pass);
        stage.seed = recipe_.seed();
        stages_.push_back(std::move(stage));
      }
      if (stages_.size() > kMaxPasses) {
        return Error(path, absl::StrCat("the passes and rounds up to here make ", stages_.size(),
                                        " stages, at most ", kMaxPasses, " are taken"));
      }
    }
    for (size_t i = 0; i < stages_.size(); ++i) {
      if (!stages_[i].label.empty()) continue;
      stages_[i].label = absl::StrCat(i + 1, "/", stages_.size(), " ", stages_[i].pass->name());
    }
    return std::move(stages_);
  }

 private:
  // At the value of `path`, or where `fallback` is written when the text has no such field.
  absl::Status Error(const std::string& path, absl::string_view what,
                     const std::string& fallback = "") const {
    TextPosition position;
    if (const TextKey* key = index_.Find(path); key != nullptr) {
      position = key->value;
    } else if (const TextKey* other = index_.Find(fallback); other != nullptr) {
      position = other->key;
    }
    return TextError(file_name_, position, path, what);
  }

  absl::StatusOr<std::shared_ptr<const Pass>> ReadPass(const std::string& spec_path,
                                                       PassSpec& spec) const {
    if (spec.pass_case() == PassSpec::PASS_NOT_SET) {
      return Error(spec_path,
                   absl::StrCat("names no pass, use one of ", absl::StrJoin(PassFields(), ", ")));
    }
    const pb::FieldDescriptor* field = PassSpec::descriptor()->FindFieldByNumber(spec.pass_case());
    const std::string pass_path = absl::StrCat(spec_path, ".", field->name());
    absl::StatusOr<std::unique_ptr<pb::Message>> options = OptionsOf(spec);
    if (!options.ok()) return Refuse(pass_path, options.status());
    absl::StatusOr<std::unique_ptr<Pass>> pass = registry_.Build(**options);
    if (!pass.ok()) return Refuse(pass_path, pass.status());
    const pb::Message& resolved = (*pass)->options();
    if (resolved.GetDescriptor() != (*options)->GetDescriptor()) {
      return absl::InternalError(
          absl::StrCat((*pass)->name(), ": options() is a ", resolved.GetDescriptor()->full_name(),
                       ", made from a ", (*options)->GetDescriptor()->full_name()));
    }
    if (spec.has_custom()) {
      spec.mutable_custom()->PackFrom(resolved);
    } else {
      spec.GetReflection()->MutableMessage(&spec, field)->CopyFrom(resolved);
    }
    return std::shared_ptr<const Pass>(*std::move(pass));
  }

  // A factory says which option is wrong; where the text gives no such option, the pass itself is
  // pointed at. Errors of the program keep their code, errors of the text become InvalidArgument.
  absl::Status Refuse(const std::string& pass_path, const absl::Status& status) const {
    std::string path = pass_path;
    std::string what(status.message());
    if (const absl::optional<absl::Cord> option = status.GetPayload(kOptionFieldPayload)) {
      const std::string name(*option);
      absl::StrAppend(&path, ".", name);
      what = std::string(absl::StripPrefix(what, name + ": "));
    }
    const TextKey* key = index_.Find(path);
    if (key == nullptr) key = index_.Find(pass_path);
    const TextPosition position = key == nullptr           ? TextPosition{}
                                  : key->path == pass_path ? key->key
                                                           : key->value;
    const absl::Status refused = TextError(file_name_, position, path, what);
    const absl::StatusCode code = status.code();
    if (code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnimplemented) {
      return absl::Status(code, refused.message());
    }
    return refused;
  }

  // Adds the stages of all rounds.
  absl::Status ReadRepeat(const std::string& path, Repeat& repeat) {
    if (repeat.rounds() < 1) {
      return Error(path + ".rounds",
                   repeat.rounds() == 0
                       ? "is missing; wanted the number of rounds, 1 or more"
                       : absl::StrCat(repeat.rounds(), " is no number of rounds, wanted 1 or more"),
                   path);
    }
    if (repeat.passes().empty()) {
      return Error(path + ".passes", "the repeat names no pass, write passes { NAME { … } }", path);
    }
    const int64_t stages = int64_t{repeat.rounds()} * repeat.passes_size();
    if (stages > kMaxPasses) {
      return Error(path + ".rounds", absl::StrCat(repeat.rounds(), " rounds make ", stages,
                                                  " stages, at most ", kMaxPasses, " are taken"));
    }
    std::optional<QualityFloor> floor;
    if (repeat.has_floor()) {
      const std::string floor_path = path + ".floor";
      if (repeat.floor().gauge().empty()) {
        return Error(floor_path + ".gauge", "is missing; wanted what measures the quality",
                     floor_path);
      }
      if (!repeat.floor().has_at_least()) {
        return Error(floor_path + ".at_least", "is missing; wanted what every round must keep",
                     floor_path);
      }
      floor = QualityFloor{repeat.floor().gauge(), repeat.floor().at_least(),
                           repeat.floor().relative()};
    }
    std::vector<std::shared_ptr<const Pass>> passes;
    for (int i = 0; i < repeat.passes_size(); ++i) {
      const std::string spec_path = absl::StrCat(path, ".passes[", i, "]");
      if (repeat.passes(i).has_repeat()) {
        return Error(spec_path + ".repeat", "a repeat cannot hold another one");
      }
      WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const Pass> pass,
                               ReadPass(spec_path, *repeat.mutable_passes(i)));
      passes.push_back(std::move(pass));
    }
    for (int round = 1; round <= repeat.rounds(); ++round) {
      const double from = WayGone(repeat.schedule(), round - 1, repeat.rounds());
      const double to = WayGone(repeat.schedule(), round, repeat.rounds());
      for (size_t i = 0; i < passes.size(); ++i) {
        absl::StatusOr<std::unique_ptr<Pass>> own =
            CatchTorch([&] { return passes[i]->AtRound(from, to); });
        if (!own.ok()) {
          return Refuse(absl::StrCat(path, ".passes[", i, "]"),
                        Annotate(own.status(), absl::StrCat("round ", round)));
        }
        RecipeStage stage;
        stage.pass = *own != nullptr ? std::shared_ptr<const Pass>(*std::move(own)) : passes[i];
        stage.label = absl::StrCat(round, "/", repeat.rounds(), " ", stage.pass->name());
        stage.seed = SeedOfRound(recipe_.seed(), round);
        stage.round = round;
        stage.judged = floor.has_value();
        if (i + 1 == passes.size()) stage.floor = floor;
        stages_.push_back(std::move(stage));
      }
    }
    return absl::OkStatus();
  }

  const absl::string_view file_name_;
  const TextIndex& index_;
  const PassRegistry& registry_;
  Recipe& recipe_;
  std::vector<RecipeStage> stages_;
};

}  // namespace

absl::StatusOr<ParsedRecipe> ParsedRecipe::Parse(absl::string_view text,
                                                 absl::string_view file_name,
                                                 const PassRegistry& registry) {
  if (text.size() > kMaxRecipeBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        file_name, ": recipe of ", text.size(), " bytes, at most ", kMaxRecipeBytes, " are read"));
  }
  text = WithoutByteOrderMark(text);
  const TextIndex index(text, Recipe::descriptor());
  Recipe recipe;
  WANLITE_RETURN_IF_ERROR(ParseTextProto(text, file_name, index, recipe));
  if (recipe.passes().empty()) {
    return TextError(file_name, {}, "passes",
                     "the recipe names no pass, write passes { NAME { … } }");
  }
  if (recipe.passes_size() > kMaxPasses) {
    return TextError(
        file_name, {}, "passes",
        absl::StrCat(recipe.passes_size(), " passes, at most ", kMaxPasses, " are taken"));
  }
  if (recipe.name().empty()) {
    const std::string base = Basename(file_name);
    const std::string name = base.substr(0, base.find('.', 1));
    // Names of files may hold any bytes, manifests and run states hold UTF-8.
    recipe.set_name(IsUtf8(name) ? name : absl::CHexEscape(name));
  }

  auto rep = std::make_shared<Rep>();
  WANLITE_ASSIGN_OR_RETURN(rep->stages, RecipeReader(file_name, index, registry, recipe).Read());
  rep->name = recipe.name();
  rep->seed = recipe.seed();
  rep->resolved_text = ResolvedText(recipe);

  ParsedRecipe parsed;
  parsed.rep_ = std::move(rep);
  return parsed;
}

absl::StatusOr<ParsedRecipe> ParsedRecipe::Load(Env& env, absl::string_view path,
                                                const PassRegistry& registry) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path, kMaxRecipeBytes));
  return Parse(text, path, registry);
}

const std::string& ParsedRecipe::name() const { return rep_->name; }
uint64_t ParsedRecipe::seed() const { return rep_->seed; }
const std::vector<RecipeStage>& ParsedRecipe::stages() const { return rep_->stages; }
const std::string& ParsedRecipe::resolved_text() const { return rep_->resolved_text; }
std::string ParsedRecipe::Fingerprint() const { return Sha256Hex(rep_->resolved_text); }

}  // namespace wanlite
