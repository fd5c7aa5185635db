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
  for (int i = 0; i < recipe.passes_size(); ++i) {
    PassSpec& spec = *recipe.mutable_passes(i);
    const std::string spec_path = absl::StrCat("passes[", i, "]");
    const auto position_of = [&](const std::string& path) {
      const TextKey* key = index.Find(path);
      return key != nullptr ? key->value : TextPosition{};
    };
    if (spec.pass_case() == PassSpec::PASS_NOT_SET) {
      return TextError(
          file_name, position_of(spec_path), spec_path,
          absl::StrCat("names no pass, use one of ", absl::StrJoin(PassFields(), ", ")));
    }
    const pb::FieldDescriptor* field = PassSpec::descriptor()->FindFieldByNumber(spec.pass_case());
    const std::string pass_path = absl::StrCat(spec_path, ".", field->name());
    const auto refuse = [&](const absl::Status& status) {
      // A factory says which option is wrong; where the text gives no such option, the pass itself
      // is pointed at.
      std::string path = pass_path;
      std::string what(status.message());
      if (const absl::optional<absl::Cord> option = status.GetPayload(kOptionFieldPayload)) {
        const std::string name(*option);
        absl::StrAppend(&path, ".", name);
        what = std::string(absl::StripPrefix(what, name + ": "));
      }
      const TextKey* key = index.Find(path);
      if (key == nullptr) key = index.Find(pass_path);
      const TextPosition position = key == nullptr           ? TextPosition{}
                                    : key->path == pass_path ? key->key
                                                             : key->value;
      return TextError(file_name, position, path, what);
    };

    absl::StatusOr<std::unique_ptr<pb::Message>> options = OptionsOf(spec);
    if (!options.ok()) return refuse(options.status());
    absl::StatusOr<std::unique_ptr<Pass>> pass = registry.Build(**options);
    if (!pass.ok()) {
      // Errors of the program keep their code, errors of the text become InvalidArgument.
      const absl::StatusCode code = pass.status().code();
      const absl::Status refused = refuse(pass.status());
      if (code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnimplemented) {
        return absl::Status(code, refused.message());
      }
      return refused;
    }
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
    const std::string label = absl::StrCat(i + 1, "/", recipe.passes_size(), " ", (*pass)->name());
    rep->stages.push_back({*std::move(pass), label});
  }
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
