// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/extractors.h"

#include <torch/script.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"

namespace wanlite {
namespace {

using testing::TempFolder;

std::string SaveModule(const std::string& path, const std::string& source) {
  torch::jit::Module module("tiny");
  module.define(source);
  module.save(path);
  return path;
}

constexpr char kGeneric[] =
    "def forward(self, x):\n  return x.mean([3, 4]).reshape([x.size(0), -1])\n";
// Answers with what it was given, so that a test sees the call.
constexpr char kI3d[] =
    "def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = "
    "False):\n"
    "  flags = torch.tensor([[float(int(rescale)), float(int(resize)), "
    "float(int(return_features)),\n"
    "                         float(x.size(2)), float(x.size(3)), float(x.size(4))]])\n"
    "  return torch.cat([flags, x.amin().reshape(1, 1), x.amax().reshape(1, 1), x[:, 0, 0, 0, "
    ":2]], 1)\n";

at::Tensor Clip(int64_t frames, int64_t height, int64_t width, uint64_t seed = 1) {
  return at::randint(0, 256, {frames, height, width, 3}, at::detail::createCPUGenerator(seed),
                     at::TensorOptions(at::kByte));
}

std::string Refused(const std::string& spec) {
  const auto extractor = BuiltinExtractors().Open(PosixEnv(), spec, {});
  REQUIRE_FALSE(extractor.ok());
  CHECK(extractor.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(extractor.status().message());
}

bool Contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("an unknown extractor is refused with the known ones") {
  for (const char* spec : {"i3d", "", "transnetv2:", "torchscript:", "digits:d"}) {
    Contains(Refused(spec), "known are transnetv2, transnetv2:FILE");
  }
}

TEST_CASE("a program adds extractors of its own, under names that are free") {
  ExtractorRegistry registry = BuiltinExtractors();
  const ExtractorKind kind{"mine", "DIR", /*argument_optional=*/false,
                           [](Env& env, absl::string_view dir, const ExtractorOptions& options) {
                             CHECK(dir == "a:b");
                             return BuiltinExtractors().Open(env, "random3d", options);
                           }};
  REQUIRE_OK(registry.Register(kind));
  CHECK(absl::IsAlreadyExists(registry.Register(kind)));
  ASSERT_OK_AND_ASSIGN(const auto opened, registry.Open(PosixEnv(), "mine:a:b", {}));
  CHECK(opened->distance_name() == "FD-random3d");
  const absl::Status bare = registry.Open(PosixEnv(), "mine", {}).status();
  CHECK(bare.code() == absl::StatusCode::kInvalidArgument);
  Contains(std::string(bare.message()), "random3d, mine:DIR");
}

TEST_CASE("TransNetV2 without weights says how to get them") {
  const char* before = std::getenv("WANLITE_TRANSNETV2");
  const std::string kept = before == nullptr ? "" : before;
  unsetenv("WANLITE_TRANSNETV2");
  const auto unset = BuiltinExtractors().Open(PosixEnv(), "transnetv2", {});
  CHECK(absl::IsNotFound(unset.status()));
  Contains(std::string(unset.status().message()), "./dev setup");
  setenv("WANLITE_TRANSNETV2", "/no/such.safetensors", 1);
  const auto absent = BuiltinExtractors().Open(PosixEnv(), "transnetv2", {});
  CHECK(absl::IsNotFound(absent.status()));
  Contains(std::string(absent.status().message()), "/no/such.safetensors");
  if (before == nullptr) unsetenv("WANLITE_TRANSNETV2");
  if (before != nullptr) setenv("WANLITE_TRANSNETV2", kept.c_str(), 1);
  CHECK(absl::IsNotFound(BuiltinExtractors().Open(PosixEnv(), "transnetv2:/no/such", {}).status()));
}

TEST_CASE("random3d is the same in every process and refuses what is no clip") {
  ASSERT_OK_AND_ASSIGN(const auto a, BuiltinExtractors().Open(PosixEnv(), "random3d", {}));
  ASSERT_OK_AND_ASSIGN(const auto b, BuiltinExtractors().Open(PosixEnv(), "random3d", {}));
  CHECK(a->digest() == b->digest());
  CHECK(a->Extract(Clip(5, 16, 20))->equal(*b->Extract(Clip(5, 16, 20))));
  CHECK(a->Extract(Clip(5, 16, 20))->size(0) == a->dim());
  for (const at::Tensor& bad :
       {at::Tensor(), at::zeros({5, 8, 8, 3}), at::zeros({8, 8, 3}, at::kByte),
        at::zeros({5, 8, 8, 1}, at::kByte), at::zeros({0, 8, 8, 3}, at::kByte)}) {
    CHECK(a->Extract(bad).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("any TorchScript module of one tensor runs under the name of its file") {
  const TempFolder temp;
  const std::string path = SaveModule(temp / "my.net.pt", kGeneric);
  ASSERT_OK_AND_ASSIGN(const auto extractor,
                       BuiltinExtractors().Open(PosixEnv(), "torchscript:" + path, {}));
  CHECK(extractor->distance_name() == "FD-my.net");
  CHECK(extractor->digest() == Sha256Hex(*PosixEnv().ReadFile(path)));
  Contains(extractor->preprocessing(), "not FVD");
  CHECK(extractor->dim() == 0);
  const at::Tensor clip = Clip(5, 7, 9);
  ASSERT_OK_AND_ASSIGN(const at::Tensor features, extractor->Extract(clip));
  const at::Tensor video = clip.to(at::kFloat).permute({3, 0, 1, 2}) / 127.5 - 1;  // [3, F, H, W]
  CHECK(features.allclose(video.mean({2, 3}).flatten(), 1e-5, 1e-6));
  CHECK(extractor->dim() == 15);
  Contains(std::string(extractor->Extract(Clip(6, 7, 9)).status().message()),
           "returned 18 features, 15 for an earlier clip");
}

TEST_CASE(
    "a module of StyleGAN-V's signature is called as I3D, and FVD only when its digest is pinned") {
  const TempFolder temp;
  const std::string path = SaveModule(temp / "i3d.pt", kI3d);
  ASSERT_OK_AND_ASSIGN(const auto unpinned,
                       BuiltinExtractors().Open(PosixEnv(), "torchscript:" + path, {}));
  CHECK(unpinned->distance_name() == "FD-i3d");
  Contains(unpinned->preprocessing(), "not FVD");
  const at::Tensor clip = Clip(17, 10, 12);
  ASSERT_OK_AND_ASSIGN(const at::Tensor got, unpinned->Extract(clip));
  // rescale, resize, return_features, frames, height, width
  CHECK(got.narrow(0, 0, 6).equal(at::tensor({0.f, 0.f, 1.f, 16.f, 224.f, 224.f})));
  CHECK((got[6].item<float>() >= -1 && got[7].item<float>() <= 1));
  const at::Tensor frame = clip[0].permute({2, 0, 1}).unsqueeze(0).to(at::kFloat) / 127.5 - 1;
  CHECK(got.narrow(0, 8, 2).allclose(
      at::upsample_bilinear2d(frame, {224, 224}, false)[0][0][0].narrow(0, 0, 2), 1e-5, 1e-5));
  CHECK(unpinned->Extract(Clip(12, 10, 12))->index({3}).item<float>() == 12);

  const std::string digest = Sha256Hex(*PosixEnv().ReadFile(path));
  ASSERT_OK_AND_ASSIGN(const auto pinned,
                       BuiltinExtractors().Open(PosixEnv(), "torchscript:" + path,
                                                {{std::string(64, '0'), digest}}));
  CHECK(pinned->distance_name() == "FVD");
  CHECK(pinned->preprocessing().find("not FVD") == std::string::npos);

  const std::string other = SaveModule(temp / "other.pt", kGeneric);
  ASSERT_OK_AND_ASSIGN(const auto generic,
                       BuiltinExtractors().Open(PosixEnv(), "torchscript:" + other,
                                                {{Sha256Hex(*PosixEnv().ReadFile(other))}}));
  CHECK(generic->distance_name() == "FD-other");  // a pin does not make another network an I3D
}

TEST_CASE("other signatures are refused beside the wanted ones") {
  const TempFolder temp;
  for (const char* source :
       {"def forward(self, x, y):\n  return x + y\n", "def forward(self, x: int):\n  return x\n",
        "def forward(self, x):\n  return (x, x)\n",
        "def forward(self):\n  return torch.zeros([1, 2])\n",
        "def forward(self, x, rescale: bool, resize: bool):\n  return x\n"}) {
    const std::string message = Refused("torchscript:" + SaveModule(temp / "bad.pt", source));
    Contains(message, "bad.pt has forward(");
    Contains(message,
             "wanted forward(x: Tensor, rescale: bool, resize: bool, return_features: bool)");
  }
  Contains(Refused("torchscript:" + SaveModule(temp / "bad.pt", "def run(self, x):\n  return x\n")),
           "has no method forward");
}

TEST_CASE("a result of another shape, and a module that fails, are errors of the clip") {
  const TempFolder temp;
  const auto message = [&](const char* source) {
    auto extractor = BuiltinExtractors().Open(
        PosixEnv(), "torchscript:" + SaveModule(temp / "bad.pt", source), {});
    REQUIRE_OK(extractor);
    const auto features = (*extractor)->Extract(Clip(5, 6, 7));
    REQUIRE_FALSE(features.ok());
    CHECK(features.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(features.status().message());
  };
  Contains(message("def forward(self, x):\n  return x.mean([3, 4])\n"),
           "returned Float [1, 3, 5], wanted floating [1, features]");
  Contains(message("def forward(self, x):\n  return x[:, 0, 0, 0].long()\n"),
           "returned Long [1, 7]");
  const std::string failed = message("def forward(self, x):\n  return x.reshape([7, 5, 5])\n");
  Contains(failed, "bad.pt failed on a clip of 5 frames of 7x6");
  Contains(failed, "shape '[7, 5, 5]' is invalid");
  // One line with the error, not the pages of TorchScript's traceback, unless they are asked for.
  CHECK(failed.find('\n') == std::string::npos);
  CHECK(failed.find("Traceback") == std::string::npos);
  setenv("WANLITE_TRACEBACK", "1", 1);
  Contains(message("def forward(self, x):\n  return x.reshape([7, 5, 5])\n"), "Traceback");
  unsetenv("WANLITE_TRACEBACK");
}

TEST_CASE("broken TorchScript files are refused, never a crash") {
  const TempFolder temp;
  ASSERT_OK_AND_ASSIGN(const std::string good,
                       PosixEnv().ReadFile(SaveModule(temp / "good.pt", kGeneric)));
  const std::string path = temp / "broken.pt";
  const auto open = [&](const std::string& bytes) {
    REQUIRE_OK(PosixEnv().WriteFileAtomically(path, bytes));
    return BuiltinExtractors().Open(PosixEnv(), "torchscript:" + path, {});
  };
  for (size_t length = 0; length < good.size(); length += 1 + good.size() / 60) {
    const auto cut = open(good.substr(0, length));
    REQUIRE_FALSE(cut.ok());
    CHECK(cut.status().code() == absl::StatusCode::kInvalidArgument);
  }
  const at::Tensor clip = Clip(5, 8, 8);
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 300) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x55);
    const auto opened = open(flipped);  // padding may be flipped without harm
    if (opened.ok()) (*opened)->Extract(clip).IgnoreError();
  }
  Contains(std::string(open("not a zip file").status().message()),
           "broken.pt is not a TorchScript file");
  Contains(Refused("torchscript:tests/golden/data/frechet.safetensors"), "frechet.safetensors");
  CHECK(absl::IsNotFound(
      BuiltinExtractors().Open(PosixEnv(), "torchscript:/no/such.pt", {}).status()));
}

}  // namespace wanlite
