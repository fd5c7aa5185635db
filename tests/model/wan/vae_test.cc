// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "src/model/wan/vae_names.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"

namespace wanlite::wan {
namespace {

using testing::RelativeL2;
using testing::SeededParameter;
using testing::SeededUniform;

// Tests run in the root of the source tree.
constexpr char kGoldenJson[] = "tests/golden/data/vae.json";
constexpr char kGoldenTensors[] = "tests/golden/data/vae.safetensors";

nlohmann::json Golden() {
  std::ifstream file(kGoldenJson);
  nlohmann::json golden = nlohmann::json::parse(file, nullptr, false);
  INFO(kGoldenJson);
  REQUIRE(golden.is_object());
  return golden;
}

std::shared_ptr<Vae> Build(const std::string& config_json) {
  ASSERT_OK_AND_ASSIGN(const VaeConfig config, ParseVaeConfig(config_json));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<Vae> vae, Vae::Create(config));
  return vae;
}

// Gives every parameter the value that the reference's parameter of the same diffusers name has.
void FillAsReference(Vae& vae) {
  const at::NoGradGuard no_grad;
  for (auto& item : vae.named_parameters()) {
    item.value().copy_(
        SeededParameter(VaeToDiffusers(vae.config(), item.key()), item.value().sizes()));
  }
}

VaeConfig SmallConfig() {
  VaeConfig config;
  config.base_dim = 4;
  config.decoder_base_dim = 6;
  config.z_dim = 3;
  config.dim_mult = {1, 2, 2};
  config.num_res_blocks = 1;
  config.temporal_downsample = {true, true};
  return config;
}

std::shared_ptr<Vae> SmallVae(const VaeConfig& config = SmallConfig()) {
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<Vae> vae, Vae::Create(config));
  FillAsReference(*vae);
  return vae;
}

int64_t CountParameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

TEST_CASE("a convolution without gradients is LibTorch's up to rounding, small or large") {
  const auto random = [](at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
  };
  for (const auto& [channels, size] : {std::pair<int64_t, int64_t>{3, 5}, {8, 16}, {40, 33}}) {
    for (const std::vector<int64_t>& stride :
         {std::vector<int64_t>{1, 1, 1}, {2, 1, 1}, {1, 2, 2}}) {
      const at::Tensor x = random({2, channels, 5, size, size + 1}, 1);
      const at::Tensor weight = random({7, channels, 3, 3, 3}, 2), bias = random({7}, 3);
      const at::Tensor expected = at::conv3d(x.to(at::kDouble), weight.to(at::kDouble),
                                             bias.to(at::kDouble), stride, {0, 1, 1});
      const at::Tensor with_gradients = Conv3d(x, weight, bias, stride, {0, 1, 1});
      const at::NoGradGuard no_grad;
      const at::Tensor strided = x.transpose(3, 4).contiguous().transpose(3, 4);
      for (const at::Tensor& y :
           {Conv3d(x, weight, bias, stride, {0, 1, 1}),
            Conv3d(strided, weight, bias, stride, {0, 1, 1}), with_gradients}) {
        CHECK(y.sizes() == expected.sizes());
        CHECK((y - expected).norm().item<double>() < 1e-5 * expected.norm().item<double>());
      }
    }
  }
}

TEST_CASE("Vae: parameter names and shapes are those of diffusers for every config") {
  const nlohmann::json golden_file = Golden();
  REQUIRE(golden_file["cases"].size() == 5);
  for (const nlohmann::json& golden : golden_file["cases"]) {
    INFO(golden["name"]);
    const std::shared_ptr<Vae> vae = Build(golden["config"].dump());
    REQUIRE(vae != nullptr);
    std::map<std::string, std::vector<int64_t>> found;
    for (const auto& item : vae->named_parameters()) {
      found[VaeToDiffusers(vae->config(), item.key())] = item.value().sizes().vec();
    }
    CHECK(found == golden["parameters"].get<std::map<std::string, std::vector<int64_t>>>());
  }
}

TEST_CASE("Vae: encode and decode give the numbers of diffusers", "[golden]") {
  ASSERT_OK_AND_ASSIGN(const auto tensors, OpenSafetensors(PosixEnv(), kGoldenTensors));
  const nlohmann::json golden_file = Golden();
  REQUIRE(golden_file["cases"].size() == 5);
  for (const nlohmann::json& golden : golden_file["cases"]) {
    const std::shared_ptr<Vae> vae = Build(golden["config"].dump());
    FillAsReference(*vae);
    for (const nlohmann::json& run : golden["runs"]) {
      const std::string name = run["name"];
      ASSERT_OK_AND_ASSIGN(const at::Tensor mean, tensors->Read(name + ".mean"));
      ASSERT_OK_AND_ASSIGN(const at::Tensor logvar, tensors->Read(name + ".logvar"));
      ASSERT_OK_AND_ASSIGN(const at::Tensor decoded, tensors->Read(name + ".decoded"));
      const LatentDistribution latents =
          vae->Encode(SeededUniform(name + ".video", run["video"].get<std::vector<int64_t>>()));
      const at::Tensor video = vae->Decode(
          SeededUniform(name + ".latents", run["latents"].get<std::vector<int64_t>>()) * 2);
      const double mean_error = RelativeL2(latents.mean, mean);
      const double logvar_error = RelativeL2(latents.logvar, logvar);
      const double decode_error = RelativeL2(video, decoded);
      CAPTURE(name, mean_error, logvar_error, decode_error);
      // Up to 1.4e-5 where a product is rounded before it is added (no FMA), 1e-5 elsewhere.
      CHECK(mean_error <= 2e-5);
      CHECK(logvar_error <= 2e-5);
      CHECK(decode_error <= 2e-5);
    }
  }
}

TEST_CASE("Vae: the whole sequence at once equals frames in chunks") {
  for (const std::vector<bool>& temporal :
       std::vector<std::vector<bool>>{{true, true}, {false, true}, {true, false}, {false, false}}) {
    VaeConfig config = SmallConfig();
    config.temporal_downsample = temporal;
    const std::shared_ptr<Vae> vae = SmallVae(config);
    vae->to(at::kDouble);  // differences of the order of summation become negligible
    for (const int64_t frames : {1, 4, 5, 9, 14}) {
      CAPTURE(temporal[0], temporal[1], frames);
      const at::Tensor video = SeededUniform("video", {2, 3, frames, 12, 20});
      const LatentDistribution chunked = vae->Encode(video);
      const LatentDistribution whole = vae->EncodeWhole(video);
      CHECK(chunked.mean.size(2) == 1 + (frames - 1) / 4 * 4 / config.temporal_stride());
      CHECK(RelativeL2(whole.mean, chunked.mean) < 1e-13);
      CHECK(RelativeL2(whole.logvar, chunked.logvar) < 1e-13);
      const at::Tensor decoded = vae->Decode(chunked.mean);
      CHECK(decoded.size(2) == 1 + (chunked.mean.size(2) - 1) * config.temporal_stride());
      CHECK(RelativeL2(vae->DecodeWhole(chunked.mean).clamp(-1, 1), decoded) < 1e-13);
    }
  }
}

TEST_CASE("Vae: three temporal strides, which the reference cannot encode, give stride eight") {
  VaeConfig config = SmallConfig();
  config.dim_mult = {1, 1, 1, 2};
  config.temporal_downsample = {true, true, true};
  const std::shared_ptr<Vae> vae = SmallVae(config);
  const at::Tensor video = SeededUniform("video", {1, 3, 17, 8, 8});
  const LatentDistribution chunked = vae->Encode(video);
  CHECK(chunked.mean.sizes() == at::IntArrayRef({1, 3, 3, 1, 1}));
  CHECK(RelativeL2(vae->EncodeWhole(video).mean, chunked.mean) < 1e-6);
  CHECK(vae->Decode(chunked.mean).sizes() == video.sizes());
}

TEST_CASE("Vae: no frame depends on a later one") {
  const std::shared_ptr<Vae> vae = SmallVae();
  const at::Tensor video = SeededUniform("video", {1, 3, 13, 8, 8});
  at::Tensor changed = video.clone();
  changed.narrow(2, 9, 4).zero_();
  const at::Tensor before = vae->Encode(video).mean, after = vae->Encode(changed).mean;
  CHECK(at::equal(before.narrow(2, 0, 3), after.narrow(2, 0, 3)));
  CHECK_FALSE(at::allclose(before.narrow(2, 3, 1), after.narrow(2, 3, 1)));
  at::Tensor latents = before.clone();
  latents.narrow(2, 2, 2).zero_();
  const at::Tensor one = vae->Decode(before), other = vae->Decode(latents);
  CHECK(at::equal(one.narrow(2, 0, 5), other.narrow(2, 0, 5)));
  CHECK_FALSE(at::allclose(one.narrow(2, 5, 4), other.narrow(2, 5, 4)));
}

TEST_CASE("Vae: gradients agree with finite differences and reach every parameter") {
  VaeConfig config = SmallConfig();
  config.attn_scales = {1.0};
  const std::shared_ptr<Vae> vae = SmallVae(config);
  vae->to(at::kDouble);
  const at::Tensor video = SeededUniform("video", {1, 3, 5, 4, 8}).to(at::kDouble);
  const at::Tensor target = SeededUniform("target", {1, 3, 5, 4, 8}).to(at::kDouble);
  const auto loss = [&] {
    const LatentDistribution latents = vae->EncodeWhole(video);
    const at::Tensor z = latents.Sample(at::ones_like(latents.mean));
    return at::mse_loss(vae->DecodeWhole(z), target);
  };
  loss().backward();
  const at::NoGradGuard no_grad;
  for (auto& item : vae->named_parameters()) {
    INFO(item.key());
    at::Tensor& parameter = item.value();
    REQUIRE(parameter.grad().defined());
    const at::Tensor direction =
        SeededUniform("direction." + item.key(), parameter.sizes()).to(at::kDouble);
    const double expected = (parameter.grad() * direction).sum().item<double>();
    constexpr double kStep = 1e-6;
    parameter.add_(direction, kStep);
    const double up = loss().item<double>();
    parameter.add_(direction, -2 * kStep);
    const double down = loss().item<double>();
    parameter.add_(direction, kStep);
    CHECK((up - down) / (2 * kStep) == Approx(expected).epsilon(1e-4).margin(1e-8));
  }
}

TEST_CASE("Vae: encoding and decoding for use record no gradients") {
  const std::shared_ptr<Vae> vae = SmallVae();
  const LatentDistribution latents = vae->Encode(SeededUniform("video", {1, 3, 5, 8, 8}));
  CHECK_FALSE(latents.mean.requires_grad());
  CHECK_FALSE(vae->Decode(latents.mean).requires_grad());
  CHECK(vae->EncodeWhole(SeededUniform("video", {1, 3, 5, 8, 8})).mean.requires_grad());
}

TEST_CASE("Vae: frames are handed over as they are decoded") {
  const std::shared_ptr<Vae> vae = SmallVae();
  const at::Tensor latents = SeededUniform("latents", {2, 3, 3, 2, 3});
  std::vector<at::Tensor> parts;
  vae->DecodeFrames(latents, [&](const at::Tensor& frames) { parts.push_back(frames); });
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].size(2) == 1);
  CHECK(parts[1].size(2) == 4);
  CHECK(at::equal(at::cat(parts, 2), vae->Decode(latents)));
}

TEST_CASE("Vae: bf16 parameters give bf16 results near those of fp32") {
  const std::shared_ptr<Vae> vae = SmallVae();
  const at::Tensor video = SeededUniform("video", {1, 3, 5, 8, 8});
  const at::Tensor exact = vae->Encode(video).mean;
  vae->to(at::kBFloat16);
  const at::Tensor mean = vae->Encode(video).mean;
  CHECK(mean.scalar_type() == at::kBFloat16);
  CHECK(RelativeL2(mean, exact) < 0.05);
  CHECK(RelativeL2(mean, exact) > 1e-5);
}

TEST_CASE("Vae: normalising latents is per channel and can be undone") {
  const std::shared_ptr<Vae> vae = SmallVae();
  const at::Tensor latents = SeededUniform("latents", {2, 3, 2, 2, 2});
  CHECK(at::equal(vae->Normalize(latents), latents));
  REQUIRE_OK(vae->SetLatentStatistics({1, 2, 3}, {2, 4, 8}));
  const at::Tensor normal = vae->Normalize(latents);
  CHECK(at::allclose(normal.select(1, 2), (latents.select(1, 2) - 3) / 8));
  CHECK(at::allclose(vae->Denormalize(normal), latents, 1e-5, 1e-6));
  CHECK(vae->SetLatentStatistics({1, 2}, {2, 4}).code() == absl::StatusCode::kInvalidArgument);
  const absl::Status zero = vae->SetLatentStatistics({1, 2, 3}, {2, 0, 8});
  CHECK(std::string(zero.message()).find("latents_std[1] is 0") != std::string::npos);
}

TEST_CASE("Vae: the same seed gives the same parameters, bounded by their fan-in") {
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Vae> one, Vae::Create(SmallConfig()));
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Vae> two, Vae::Create(SmallConfig()));
  one->InitParameters(3);
  two->InitParameters(3);
  const auto a = one->parameters(), b = two->parameters();
  for (size_t i = 0; i < a.size(); ++i) CHECK(at::equal(a[i], b[i]));
  const at::Tensor weight = one->named_parameters()["decoder.conv1.weight"];
  const double bound = 1 / std::sqrt(3.0 * 27);
  CHECK(weight.abs().max().item<double>() <= bound);
  CHECK(weight.abs().max().item<double>() > 0.9 * bound);
  two->InitParameters(4);
  CHECK_FALSE(at::equal(weight, two->named_parameters()["decoder.conv1.weight"]));
}

TEST_CASE("Vae: the full-size network builds without memory and has Wan 2.1's parameters") {
  const nn::HollowGuard hollow;
  const std::shared_ptr<Vae> vae = Build("{}");
  CHECK(CountParameters(*vae) == 126892531);
  CHECK(vae->config().latents_mean.size() == 16);
  CHECK(vae->named_parameters()["decoder.upsamples.3.time_conv.weight"].sizes() ==
        at::IntArrayRef({768, 384, 3, 1, 1}));
  for (const auto& parameter : vae->parameters()) CHECK(nn::IsHollow(parameter));
}

TEST_CASE("Vae: wrong inputs are refused with what was found") {
  const std::shared_ptr<Vae> vae = SmallVae();
  CHECK_THROWS_WITH(vae->Encode(at::zeros({1, 4, 5, 8, 8})), Catch::Contains("[1, 4, 5, 8, 8]"));
  CHECK_THROWS_WITH(vae->Encode(at::zeros({1, 3, 5, 8, 3})), Catch::Contains("8x3"));
  CHECK_THROWS_WITH(vae->Decode(at::zeros({1, 4, 5, 8, 8})), Catch::Contains("[1, 4, 5, 8, 8]"));
  CHECK_THROWS_WITH(vae->EncodeWhole(at::zeros({3, 5, 8, 8})), Catch::Contains("[3, 5, 8, 8]"));
}

TEST_CASE("VaeConfig: JSON written is read back, and errors name the field") {
  VaeConfig config = SmallConfig();
  config.attn_scales = {0.5, 0.25};
  config.latents_mean = {1, 2, 3};
  config.latents_std = {1, 2, 3};
  const std::string text = VaeConfigJson(config);
  ASSERT_OK_AND_ASSIGN(const VaeConfig again, ParseVaeConfig(text));
  CHECK(VaeConfigJson(again) == text);
  CHECK(again.temporal_downsample == config.temporal_downsample);

  const auto error = [](const std::string& json, absl::StatusCode code, const std::string& part) {
    const absl::Status status = ParseVaeConfig(json).status();
    INFO(json << " -> " << status.ToString());
    CHECK(status.code() == code);
    CHECK(std::string(status.message()).find(part) != std::string::npos);
  };
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  error("{\"is_residual\": true}", absl::StatusCode::kUnimplemented, "is_residual");
  error("{\"patch_size\": 2}", absl::StatusCode::kUnimplemented, "patch_size is 2");
  error("[]", kInvalid, "wanted an object");
  error("{\"base_dim\": \"96\"}", kInvalid, "base_dim is \"96\", must be an integer");
  error("{\"base_dim\": 0}", kInvalid, "base_dim is 0");
  error("{\"base_dim\": 99999999999999999999}", kInvalid, "base_dim");
  error("{\"dim_mult\": [1, 2]}", kInvalid, "temperal_downsample has 3 values, must have 1");
  error("{\"z_dim\": 8}", kInvalid, "latents_mean");
  error("{\"latents_mean\": [1]}", kInvalid, "latents_mean has 1 values, must have 16");
}

TEST_CASE(
    "VaeArchitecture: builds from config.json, names every tensor, recognises files of both "
    "schemes") {
  const Architecture architecture = VaeArchitecture();
  CHECK(architecture.name == "AutoencoderKLWan");
  VaeConfig config = SmallConfig();
  config.latents_mean = {1, 2, 3};
  config.latents_std = {1, 2, 3};
  const std::string json = VaeConfigJson(config);
  ASSERT_OK_AND_ASSIGN(const auto module, architecture.build(json));
  std::vector<std::string> names;
  std::set<std::string> foreign;
  ASSERT_OK_AND_ASSIGN(const TensorNames foreign_name, architecture.names(json));
  for (const auto& item : module->named_parameters()) {
    names.push_back(item.key());
    foreign.insert(foreign_name(item.key()));
  }
  CHECK(foreign.size() == names.size());
  CHECK(foreign.count("decoder.up_blocks.0.upsamplers.0.time_conv.weight") == 1);
  CHECK(architecture.recognizes(names));
  CHECK(architecture.recognizes({foreign.begin(), foreign.end()}));
  CHECK_FALSE(architecture.recognizes({"conv1.weight", "token_embedding.weight"}));
  ASSERT_OK_AND_ASSIGN(const std::string normal, architecture.normalize_config(json));
  ASSERT_OK_AND_ASSIGN(const std::string of_module, architecture.config_of(json, *module));
  CHECK(normal == json);
  CHECK(of_module == json);
  CHECK_FALSE(architecture.build("{\"z_dim\": 0}").ok());

  std::vector<Component> components(1);
  components[0] = {"vae", architecture.role, architecture.name, json, module};
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  CHECK(view.linears().empty());
  CHECK(view.KeepsFloat32("vae.encoder.conv1.weight"));
  CHECK(view.KeepsFloat32("vae.conv2.bias"));
}

ModelView ViewOfVae(std::shared_ptr<Vae> vae) {
  Component component{"vae", ComponentRole::kAutoencoder, "AutoencoderKLWan",
                      VaeConfigJson(vae->config()), vae};
  component.definition = std::make_shared<const Architecture>(VaeArchitecture());
  auto view = ModelView::Create({component});
  REQUIRE_OK(view);
  return *std::move(view);
}

// With attention in the encoder, widths that change with a shortcut and without, and both kinds of
// resampling.
VaeConfig GroupsConfig() {
  VaeConfig config = SmallConfig();
  config.attn_scales = {0.5};
  config.temporal_downsample = {false, true};
  config.latents_mean = {1, 2, 3};
  config.latents_std = {1, 2, 3};
  return config;
}

TEST_CASE("a VAE with channels removed computes what the masked one does, and its config says so") {
  const VaeConfig config = GroupsConfig();
  const at::NoGradGuard no_grad;
  const at::Tensor video = SeededUniform("video", {1, 3, 5, 12, 16}).to(at::kDouble);
  const at::Tensor latents = SeededUniform("latents", {1, 3, 3, 3, 4}).to(at::kDouble);
  const Architecture architecture = VaeArchitecture();
  std::vector<AxisGroup> groups = ViewOfVae(SmallVae(config)).groups();
  std::map<std::string, int> kinds;
  for (const AxisGroup& group : groups) {
    CAPTURE(group.name);
    ++kinds[group.kind];
    CHECK(group.exact());
    auto pruned = SmallVae(config), masked = SmallVae(config);
    pruned->to(at::kDouble);
    masked->to(at::kDouble);
    const at::Tensor before = masked->EncodeWhole(video).mean, decoded = masked->Decode(latents);
    const at::Tensor order = at::argsort(SeededUniform(group.name, {group.units}));
    const at::Tensor keep = std::get<0>(order.narrow(0, 0, (group.units + 1) / 2).sort());
    const at::Tensor gone = order.narrow(0, (group.units + 1) / 2, group.units / 2);
    ModelView masked_view = ViewOfVae(masked);
    for (const AxisRef& ref : group.refs) {
      if (ref.role != AxisRole::kSliced || ref.dim != 0) continue;
      ASSERT_OK_AND_ASSIGN(at::Tensor tensor, masked_view.FindTensor(ref.tensor));
      for (int64_t outer = 0; outer < ref.outer; ++outer) {
        tensor.index_fill_(0, gone + outer * group.units, 0);
      }
    }
    ModelView view = ViewOfVae(pruned);
    REQUIRE_OK(view.KeepUnits(group.name, keep));
    const LatentDistribution want = masked->EncodeWhole(video), got = pruned->EncodeWhole(video);
    CHECK(RelativeL2(got.mean, want.mean) < 1e-9);
    CHECK(RelativeL2(pruned->Encode(video).mean, want.mean) < 1e-9);
    CHECK(RelativeL2(pruned->Decode(latents), masked->Decode(latents)) < 1e-9);
    CHECK(RelativeL2(want.mean, before) + RelativeL2(masked->Decode(latents), decoded) > 1e-4);

    ASSERT_OK_AND_ASSIGN(const std::string json,
                         architecture.config_of(VaeConfigJson(config), *pruned));
    ASSERT_OK_AND_ASSIGN(const auto rebuilt, architecture.build(json));
    for (const auto& item : rebuilt->named_parameters()) {
      CAPTURE(item.key());
      CHECK(item.value().sizes() == pruned->named_parameters()[item.key()].sizes());
    }
    CHECK(rebuilt->named_parameters().size() == pruned->named_parameters().size());
    CHECK(absl::IsFailedPrecondition(architecture.exportable(json, FolderLayout::kDiffusers)));
    const std::string name = group.name.substr(std::string("vae.").size());
    ASSERT_OK_AND_ASSIGN(
        const std::string edited,
        architecture.edit_config(VaeConfigJson(config), {.units = {{name, keep.numel()}}}));
    CHECK(edited == json);
    // The names of the tensors do not depend on sizes.
    ASSERT_OK_AND_ASSIGN(const TensorNames names, architecture.names(json));
    CHECK(names("encoder.downsamples.0.residual.2.weight") == "encoder.down_blocks.0.conv1.weight");
  }
  std::printf("VAE groups: %d widths, %d inner, %d attentions\n", kinds["vae.width"],
              kinds["vae.channels"], kinds["vae.attention"]);
  CHECK(kinds["vae.width"] == 4 + 4);
  CHECK(kinds["vae.channels"] == 5 + 8);
  CHECK(kinds["vae.attention"] == 2 + 1);
  REQUIRE_OK(architecture.exportable(VaeConfigJson(config), FolderLayout::kOriginal));
}

TEST_CASE("sizes of a pruned VAE's config that do not fit are refused") {
  const std::string json = VaeConfigJson(GroupsConfig());
  const auto with = [&](const std::string& field) {
    return ParseVaeConfig(json.substr(0, json.size() - 3) + ", " + field + "}").status();
  };
  REQUIRE_OK(with("\"wanlite_encoder_widths\": [4, 8, 7, 3]"));
  CHECK(absl::IsInvalidArgument(with("\"wanlite_encoder_widths\": [4, 8, 7]")));
  CHECK(absl::IsInvalidArgument(with("\"wanlite_encoder_widths\": [4, 8, 7, 0]")));
  CHECK(absl::IsInvalidArgument(with("\"wanlite_decoder_inner\": [4]")));
  CHECK(absl::IsInvalidArgument(with("\"wanlite_decoder_inner\": 4")));
  const Architecture architecture = VaeArchitecture();
  for (const StructureEdit& edit :
       std::vector<StructureEdit>{{.units = {{"encoder.width.9", 2}}},
                                  {.units = {{"decoder.middle.0.channels", 0}}},
                                  {.drop_blocks = {"decoder.middle.0"}}}) {
    CHECK(absl::IsInvalidArgument(architecture.edit_config(json, edit).status()));
  }
}

TEST_CASE("the decoder is a program of the view's blocks, and its layers are what streams") {
  auto vae = SmallVae(GroupsConfig());
  ModelView view = ViewOfVae(vae);
  const Component& component = view.components().front();
  const BlockProgram* program = ProgramOf(component);
  REQUIRE(program != nullptr);
  std::set<std::string> blocks;
  for (const BlockInfo& block : view.blocks()) {
    blocks.insert(block.path);
    CHECK_FALSE(block.removable);
  }
  CHECK(blocks.size() == 1 + (6 + 3) + (3 + 8));
  const at::NoGradGuard no_grad;
  const at::Tensor latents = SeededUniform("latents", {1, 3, 3, 3, 4});
  Values values{{"latents", latents}};
  for (size_t step = 0; step < program->Steps().size(); ++step) {
    CHECK(blocks.contains(BlockPath(component, program->Steps()[step])));
    program->RunStep(step, values);
  }
  CHECK(values.at(program->Output()).equal(vae->DecodeWhole(latents)));
  CHECK(RelativeL2(values.at("sample").clamp(-1, 1), vae->Decode(latents)) < 1e-5);
}

}  // namespace
}  // namespace wanlite::wan
