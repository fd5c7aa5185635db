// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/checkpoint/safetensors_reader.h"
#include "src/checkpoint/safetensors_writer.h"
#include "src/core/input_limits.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

const std::vector<at::ScalarType> kAllDtypes = {
    at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,          at::kInt,
    at::kShort,  at::kChar,  at::kByte, at::kBool,     at::kFloat8_e4m3fn, at::kFloat8_e5m2};

// The rule of tests/checkpoint/data/make_pypi_safetensors.py.
at::Tensor Pattern(at::IntArrayRef shape, at::ScalarType dtype) {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  at::Tensor v = at::remainder(at::arange(numel, at::kLong) * 7, 11) - 3;
  if (dtype == at::kByte || dtype == at::kBool) v = at::remainder(v.abs(), 2);
  return v.reshape(shape).to(at::kFloat).to(dtype);
}

std::string BytesOf(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  return std::string(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
}

void RequireSame(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.scalar_type() == b.scalar_type());
  REQUIRE(a.sizes() == b.sizes());
  REQUIRE(BytesOf(a) == BytesOf(b));
}

// A file with the given header text and data, the length field telling the truth.
std::string FileOf(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &size, 8);
  return out + header + data;
}

void PutBytes(Env& env, const std::string& path, const std::string& bytes) {
  REQUIRE_OK(env.WriteFileAtomically(path, bytes));
}

TEST_CASE("a written safetensors file reads back the same in every dtype and shape") {
  std::unique_ptr<Env> env = NewMemEnv();
  std::vector<NamedTensor> tensors;
  for (const at::ScalarType dtype : kAllDtypes) {
    const std::string name = c10::toString(dtype);
    tensors.push_back({name + ".matrix", Pattern({3, 7}, dtype)});
    tensors.push_back({name + ".scalar", Pattern({}, dtype)});
    tensors.push_back({name + ".empty", Pattern({4, 0, 2}, dtype)});
    tensors.push_back({name + ".odd", Pattern({1}, dtype)});
  }
  tensors.push_back({"имя.名前", Pattern({2}, at::kFloat)});
  REQUIRE_OK(WriteSafetensors(*env, "f.safetensors", tensors, {{"k", "v\n\"q\""}}));
  ASSERT_OK_AND_ASSIGN(auto file, SafetensorsFile::Open(*env, "f.safetensors"));
  REQUIRE(file->tensors().size() == tensors.size());
  REQUIRE(file->metadata() == std::map<std::string, std::string>{{"k", "v\n\"q\""}});
  for (size_t i = 1; i < file->tensors().size(); ++i) {
    REQUIRE(file->tensors()[i - 1].name < file->tensors()[i].name);
  }
  for (const NamedTensor& named : tensors) {
    INFO(named.name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor read, file->Read(named.name));
    RequireSame(read, named.tensor);
    REQUIRE(file->Find(named.name)->bytes() == static_cast<int64_t>(named.tensor.nbytes()));
  }
  REQUIRE(file->Find("absent") == nullptr);
  REQUIRE(absl::IsNotFound(file->Read("absent").status()));
}

TEST_CASE("a file written by the PyPI package reads as its script says") {
  ASSERT_OK_AND_ASSIGN(auto file,
                       SafetensorsFile::Open(PosixEnv(), "tests/checkpoint/data/pypi.safetensors"));
  const std::map<std::string, at::ScalarType> dtypes = {{"f64", at::kDouble},
                                                        {"f32", at::kFloat},
                                                        {"f16", at::kHalf},
                                                        {"bf16", at::kBFloat16},
                                                        {"i64", at::kLong},
                                                        {"i32", at::kInt},
                                                        {"i16", at::kShort},
                                                        {"i8", at::kChar},
                                                        {"u8", at::kByte},
                                                        {"bool", at::kBool},
                                                        {"f8_e4m3", at::kFloat8_e4m3fn},
                                                        {"f8_e5m2", at::kFloat8_e5m2}};
  REQUIRE(file->tensors().size() == dtypes.size() + 2);
  for (const auto& [name, dtype] : dtypes) {
    INFO(name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor read, file->Read(name));
    RequireSame(read, Pattern({3, 5}, dtype));
  }
  ASSERT_OK_AND_ASSIGN(const at::Tensor scalar, file->Read("scalar"));
  REQUIRE(scalar.dim() == 0);
  REQUIRE(scalar.item<float>() == 2.5f);
  ASSERT_OK_AND_ASSIGN(const at::Tensor empty, file->Read("empty"));
  REQUIRE(empty.sizes() == at::IntArrayRef({0, 4}));
  REQUIRE(file->metadata().at("name") == "пример");
}

TEST_CASE("the hash returned is that of the file, and the same tensors give the same bytes") {
  std::unique_ptr<Env> env = NewMemEnv();
  const std::vector<NamedTensor> tensors = {{"b", Pattern({5}, at::kChar)},
                                            {"a", Pattern({2, 3}, at::kFloat)}};
  ASSERT_OK_AND_ASSIGN(const std::string hash1, WriteSafetensors(*env, "1", tensors));
  ASSERT_OK_AND_ASSIGN(const std::string hash2, WriteSafetensors(*env, "2", tensors));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("1"));
  REQUIRE(hash1 == Sha256Hex(bytes));
  REQUIRE(hash1 == hash2);
  REQUIRE(*env->ListFolder("") == std::vector<std::string>{"1", "2"});
}

TEST_CASE("written data is aligned for its dtype, whatever the order given") {
  std::unique_ptr<Env> env = NewMemEnv();
  std::vector<NamedTensor> tensors;
  for (size_t i = kAllDtypes.size(); i-- > 0;) {
    tensors.push_back({absl::StrCat("t", i), Pattern({3}, kAllDtypes[i])});
  }
  REQUIRE_OK(WriteSafetensors(*env, "f", tensors));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("f"));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  REQUIRE(header_bytes % 8 == 0);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes), nullptr, false);
  for (size_t i = 0; i < kAllDtypes.size(); ++i) {
    const auto& offsets = header[absl::StrCat("t", i)]["data_offsets"];
    REQUIRE(offsets[0].get<uint64_t>() % c10::elementSize(kAllDtypes[i]) == 0);
  }
}

TEST_CASE("strided, expanded and transposed tensors are written as their values") {
  std::unique_ptr<Env> env = NewMemEnv();
  const at::Tensor base = Pattern({4, 6}, at::kFloat);
  const std::vector<NamedTensor> tensors = {{"transposed", base.t()},
                                            {"strided", base.slice(1, 0, 6, 2)},
                                            {"expanded", base.slice(0, 0, 1).expand({3, 6})},
                                            {"grad", base.clone().requires_grad_(true)}};
  REQUIRE_OK(WriteSafetensors(*env, "f", tensors));
  ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(*env, "f"));
  for (const NamedTensor& named : tensors) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor read, file->Read(named.name));
    RequireSame(read, named.tensor.detach());
  }
}

TEST_CASE("what cannot be written is refused by name and leaves no file") {
  std::unique_ptr<Env> env = NewMemEnv();
  const at::Tensor t = Pattern({2}, at::kFloat);
  const std::vector<std::pair<std::vector<NamedTensor>, std::string>> cases = {
      {{{"a", t}, {"a", t}}, "'a'"},
      {{{"__metadata__", t}}, "__metadata__"},
      {{{"bad\xff", t}}, "UTF-8"},
      {{{"c", at::zeros({2}, at::kComplexFloat)}}, "ComplexFloat"},
      {{{"u", at::Tensor()}}, "undefined"},
  };
  for (const auto& [tensors, text] : cases) {
    const absl::Status status = WriteSafetensors(*env, "f", tensors).status();
    INFO(status.ToString());
    REQUIRE(absl::IsInvalidArgument(status));
    REQUIRE(absl::StrContains(status.message(), text));
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, env->ListFolder(""));
    REQUIRE(names.empty());
  }
}

TEST_CASE("the streaming writer takes exactly what was announced") {
  std::unique_ptr<Env> env = NewMemEnv();
  const std::vector<TensorInfo> infos = {{"a", at::kFloat, {2}}, {"b", at::kDouble, {1}}};
  ASSERT_OK_AND_ASSIGN(auto writer, SafetensorsWriter::Create(*env, "f", infos));
  REQUIRE(writer->order().front().name == "b");
  REQUIRE(absl::IsInvalidArgument(writer->Append(at::zeros({1}, at::kFloat))));
  REQUIRE_OK(writer->Append(at::ones({1}, at::kDouble)));
  REQUIRE(absl::IsInvalidArgument(writer->Append(at::zeros({3}, at::kFloat))));
  REQUIRE(absl::IsFailedPrecondition(writer->Finish().status()));
  REQUIRE_OK(writer->Append(at::ones({2}, at::kFloat)));
  REQUIRE(absl::IsFailedPrecondition(writer->Append(at::zeros({2}, at::kFloat))));
  REQUIRE_FALSE(env->FileExists("f"));
  REQUIRE_OK(writer->Finish());
  REQUIRE(env->FileExists("f"));

  ASSERT_OK_AND_ASSIGN(writer, SafetensorsWriter::Create(*env, "g", infos));
  REQUIRE(env->ListFolder("")->size() == 2);
  REQUIRE_FALSE(env->FileExists("g"));
  writer.reset();
  REQUIRE(*env->ListFolder("") == std::vector<std::string>{"f"});
}

TEST_CASE("hostile headers are refused with the reason") {
  const std::string f4(4, '\0'), f8(8, '\0');
  struct Case {
    std::string bytes;
    std::string wanted;
  };
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return absl::StrCat("{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                        ",\"data_offsets\":", offsets, "}");
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return absl::StrCat("{\"a\":", entry(dtype, shape, offsets), "}");
  };
  const std::string good = entry("F32", "[1]", "[0,4]");
  const auto length = [](uint64_t n, const std::string& rest) {
    std::string out(8, '\0');
    std::memcpy(out.data(), &n, 8);
    return out + rest;
  };
  const std::vector<Case> cases = {
      {"", "wanted at least 8"},
      {std::string(7, '\0'), "wanted at least 8"},
      {length(3, "{}"), "truncated"},
      {length(~uint64_t{0}, "{}"), "at most"},
      {length(~uint64_t{0} - 7, "{}"), "at most"},
      {length(100'000'001, "{}"), "at most"},
      {FileOf("", ""), "JSON"},
      {FileOf("garbage!", ""), "JSON"},
      {FileOf("{}x", ""), "JSON"},
      {FileOf("{\"a\":", ""), "JSON"},
      {FileOf("[]", ""), "wanted an object"},
      {FileOf("null", ""), "wanted an object"},
      {FileOf("\"x\"", ""), "wanted an object"},
      {FileOf(std::string(100000, '['), ""), "wanted an object"},
      {FileOf("{\"a\":" + std::string(100000, '{'), ""), "JSON"},
      {FileOf("{\"a\":" + std::string(100000, '['), ""), "wanted an object"},
      {FileOf("{\"a\xff\":1}", ""), "JSON"},
      {FileOf(absl::StrCat("{\"a\":", good, ",\"a\":", good, "}"), f4), "twice"},
      {FileOf("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", ""), "twice"},
      {FileOf("{\"__metadata__\":{},\"__metadata__\":{}}", ""), "twice"},
      {FileOf("{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", ""), "twice"},
      {FileOf("{\"__metadata__\":{\"k\":1}}", ""), "wanted a string"},
      {FileOf("{\"__metadata__\":[]}", ""), "wanted an object"},
      {FileOf("{\"a\":3}", ""), "wanted an object"},
      {FileOf("{\"a\":{}}", ""), "has no dtype"},
      {FileOf("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}}", ""), "has no shape"},
      {FileOf("{\"a\":{\"dtype\":\"F32\",\"shape\":[0]}}", ""), "has no data_offsets"},
      {FileOf("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":1}}", ""),
       "unknown field"},
      {FileOf("{\"a\":{\"dtype\":5,\"shape\":[0],\"data_offsets\":[0,0]}}", ""), "wanted a string"},
      {FileOf(one("F99", "[1]", "[0,4]"), f4), "F8_E5M2"},
      {FileOf(one("C64", "[1]", "[0,8]"), f8), "C64"},
      {FileOf(one("f32", "[1]", "[0,4]"), f4), "f32"},
      {FileOf(one("F32", "1", "[0,4]"), f4), "wanted an array"},
      {FileOf(one("F32", "[-1]", "[0,4]"), f4), "negative"},
      {FileOf(one("F32", "[1.0]", "[0,4]"), f4), "wanted a size"},
      {FileOf(one("F32", "[\"1\"]", "[0,4]"), f4), "wanted a size"},
      {FileOf(one("F32", "[[1]]", "[0,4]"), f4), "wanted a size"},
      {FileOf(one("F32", "[9223372036854775808]", "[0,4]"), f4), "size"},
      {FileOf(one("F32", "[99999999999999999999999]", "[0,4]"), f4), "wanted a size"},
      {FileOf(one("F32", "[4294967296,4294967296]", "[0,4]"), f4), "2^63"},
      // 2^62 * 4 bytes * 2^63-ish wraps to a small number when it is not checked.
      {FileOf(one("F32", "[4611686018427387904,4]", "[0,0]"), ""), "2^63"},
      {FileOf(one("F32", "[4611686018427387904,4,0]", "[0,0]"), ""), "2^63"},
      {FileOf(one("F32",
                  absl::StrCat(
                      "[1", std::string(0, ' '),
                      [] {
                        std::string s;
                        for (int i = 0; i < 64; ++i) s += ",1";
                        return s;
                      }(),
                      "]"),
                  "[0,4]"),
              f4),
       "dimensions"},
      {FileOf(one("F32", "[1]", "[0]"), f4), "wanted 2"},
      {FileOf(one("F32", "[1]", "[0,4,4]"), f4), "more than 2"},
      {FileOf(one("F32", "[1]", "[-4,0]"), f4), "negative"},
      {FileOf(one("F32", "[1]", "[4,0]"), f4), "data_offsets"},
      {FileOf(one("F32", "[2]", "[0,8]"), f4), "truncated"},
      {FileOf(one("F32", "[1]", "[18446744073709551612,18446744073709551616]"), f4), "offset"},
      {FileOf(one("F32", "[1]", "[0,18446744073709551615]"), f4), "truncated"},
      {FileOf(one("F32", "[2]", "[0,4]"), f4), "takes 8 bytes"},
      {FileOf(one("F64", "[1]", "[0,4]"), f4), "takes 8 bytes"},
      {FileOf(one("F32", "[1]", "[4,8]"), f8), "hole"},
      {FileOf(one("F32", "[1]", "[0,4]"), f8), "end at byte 4"},
      {FileOf("{}", f4), "end at byte 0"},
      {FileOf(absl::StrCat("{\"a\":", entry("F32", "[2]", "[0,8]"),
                           ",\"b\":", entry("F32", "[1]", "[4,8]"), "}"),
              f8),
       "inside"},
      {FileOf(absl::StrCat("{\"a\":", good, ",\"b\":", good, "}"), f4), "inside"},
      {FileOf(absl::StrCat("{\"a\":", good, ",\"b\":", entry("F32", "[1]", "[8,12]"), "}"),
              f4 + f8),
       "hole"},
  };
  std::unique_ptr<Env> env = NewMemEnv();
  for (const Case& c : cases) {
    PutBytes(*env, "f", c.bytes);
    const absl::Status status = OpenSafetensors(*env, "f").status();
    INFO(c.bytes.substr(0, 200) << "\n" << status.ToString());
    REQUIRE(absl::IsInvalidArgument(status));
    REQUIRE(absl::StrContains(status.message(), c.wanted));
    REQUIRE(absl::StartsWith(status.message(), "f: "));
    REQUIRE(status.message().size() < 1000);
  }
  REQUIRE(absl::IsNotFound(OpenSafetensors(*env, "absent").status()));
}

TEST_CASE("an empty file of tensors and a padded header are fine") {
  std::unique_ptr<Env> env = NewMemEnv();
  PutBytes(*env, "f", FileOf("{}      ", ""));
  ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(*env, "f"));
  REQUIRE(file->tensors().empty());
  REQUIRE_OK(WriteSafetensors(*env, "g", {}));
  REQUIRE_OK(OpenSafetensors(*env, "g"));
}

TEST_CASE("misaligned data is readable") {
  std::unique_ptr<Env> env = NewMemEnv();
  const at::Tensor want = Pattern({3}, at::kDouble);
  for (int pad = 0; pad < 8; ++pad) {
    const std::string header =
        "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{"
        "\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[1,25]}}" +
        std::string(pad, ' ');
    PutBytes(*env, "f", FileOf(header, std::string(1, '\1') + BytesOf(want)));
    ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(*env, "f"));
    ASSERT_OK_AND_ASSIGN(const at::Tensor read, file->Read("b"));
    REQUIRE(reinterpret_cast<uintptr_t>(read.const_data_ptr()) % 8 == 0);
    RequireSame(read, want);
  }
}

TEST_CASE("a BOOL tensor with another byte than 0 and 1 is refused when read") {
  std::unique_ptr<Env> env = NewMemEnv();
  PutBytes(*env, "f",
           FileOf("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", "\1\2"));
  ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(*env, "f"));
  REQUIRE(absl::IsInvalidArgument(file->Read("a").status()));
}

TEST_CASE("truncated and damaged files never do more than fail") {
  std::unique_ptr<Env> env = NewMemEnv();
  const std::vector<NamedTensor> tensors = {{"a.weight", Pattern({2, 3}, at::kFloat)},
                                            {"a.scale", Pattern({3}, at::kBFloat16)},
                                            {"flag", Pattern({5}, at::kBool)}};
  REQUIRE_OK(WriteSafetensors(*env, "f", tensors, {{"format", "pt"}}));
  ASSERT_OK_AND_ASSIGN(const std::string whole, env->ReadFile("f"));
  for (size_t size = 0; size < whole.size(); ++size) {
    PutBytes(*env, "t", whole.substr(0, size));
    REQUIRE(absl::IsInvalidArgument(OpenSafetensors(*env, "t").status()));
  }
  PutBytes(*env, "t", whole + "x");
  REQUIRE(absl::IsInvalidArgument(OpenSafetensors(*env, "t").status()));

  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, whole.data(), 8);
  int opened = 0;
  for (size_t at = 0; at < 8 + header_bytes; ++at) {
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      PutBytes(*env, "t", damaged);
      auto file = OpenSafetensors(*env, "t");
      if (!file.ok()) {
        REQUIRE(absl::IsInvalidArgument(file.status()));
        continue;
      }
      ++opened;  // a name or a dtype of the same width changed
      int64_t bytes = 0;
      for (const TensorInfo& info : (*file)->tensors()) {
        bytes += info.bytes();
        auto read = (*file)->Read(info.name);
        if (!read.ok()) continue;
        REQUIRE(static_cast<int64_t>(read->nbytes()) == info.bytes());
        REQUIRE(BytesOf(*read).size() == static_cast<size_t>(info.bytes()));
      }
      REQUIRE(bytes == static_cast<int64_t>(damaged.size() - 8 - header_bytes));
    }
  }
  REQUIRE(opened > 0);
}

TEST_CASE("a disk that fails at any write leaves the old file or the new one, never a part") {
  const std::vector<NamedTensor> before = {{"a", at::zeros({4})}};
  const std::vector<NamedTensor> after = {{"a", at::ones({4})}, {"b", at::ones({2})}};
  int failures = 0;
  for (int64_t k = 0;; ++k) {
    REQUIRE(k < 100);
    std::unique_ptr<Env> disk = NewMemEnv();
    REQUIRE_OK(WriteSafetensors(*disk, "d", before));
    const std::unique_ptr<FaultEnv> faulty = NewFaultEnv(*disk, k);
    const bool written = WriteSafetensors(*faulty, "d", after).ok();
    ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(*disk, "d"));
    ASSERT_OK_AND_ASSIGN(const at::Tensor a, file->Read("a"));
    const bool is_new = file->tensors().size() == 2;
    RequireSame(a, is_new ? after[0].tensor : before[0].tensor);
    if (written) {
      REQUIRE(is_new);
      break;
    }
    ++failures;
  }
  REQUIRE(failures >= 4);  // create, append, sync, rename, sync folder
}

TEST_CASE("a header of more entries than the limit is refused") {
  std::string metadata = "{\"__metadata__\":{\"k\":\"\"";
  for (int64_t i = 0; i < kMaxSafetensorsEntries; ++i) {
    absl::StrAppend(&metadata, ",\"", i, "\":\"\"");
  }
  std::string tensors = "{\"k\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  for (int64_t i = 0; i < kMaxSafetensorsEntries; ++i) {
    absl::StrAppend(&tensors, ",\"", i,
                    "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
  }
  for (const std::string& header : {metadata + "}}", tensors + "}"}) {
    const std::unique_ptr<Env> env = NewMemEnv();
    REQUIRE_OK(env->WriteFileAtomically("f", FileOf(header, "")));
    const absl::Status refused = OpenSafetensors(*env, "f").status();
    REQUIRE(refused.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(absl::StrContains(std::string(refused.message()),
                              absl::StrCat("more than ", kMaxSafetensorsEntries)));
  }
}

TEST_CASE("a tensor that was never filled is not written, be it a single number") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const nn::HollowGuard hollow;
  for (const at::Tensor& tensor : {nn::NewTensor({1}, at::kChar), nn::NewTensor({}, at::kFloat),
                                   nn::NewTensor({3, 4}, at::kFloat)}) {
    const absl::Status refused = WriteSafetensors(*env, "f", {{"scale", tensor}}).status();
    REQUIRE(refused.code() == absl::StatusCode::kInternal);
    REQUIRE(absl::StrContains(std::string(refused.message()), "'scale' was left without values"));
    REQUIRE_FALSE(env->FileExists("f"));
  }
  REQUIRE_OK(WriteSafetensors(*env, "f", {{"scale", at::zeros({1}).expand({4})}}));
}

TEST_CASE("on a real disk whoever reads a tensor may write to it, and nobody else sees that") {
  const std::string dir =
      (std::filesystem::temp_directory_path() / absl::StrCat("wanlite_safetensors_", getpid()))
          .string();
  Env& env = PosixEnv();
  REQUIRE_OK(env.CreateFolders(dir));
  const std::string path = JoinPath(dir, "f.safetensors");
  const at::Tensor big = Pattern({64, 1024}, at::kFloat);
  const at::Tensor small = Pattern({16}, at::kFloat);
  REQUIRE_OK(WriteSafetensors(env, path, {{"small", small}, {"big", big}, {"tail", small}}));
  ASSERT_OK_AND_ASSIGN(auto file, OpenSafetensors(env, path));
  {
    ASSERT_OK_AND_ASSIGN(at::Tensor read, file->Read("big"));
    RequireSame(read, big);
    // Parts of one page; and one tensor read twice.
    ASSERT_OK_AND_ASSIGN(const at::Tensor twin, file->Read("big"));
    ASSERT_OK_AND_ASSIGN(const at::Tensor neighbour, file->Read("small"));
    ASSERT_OK_AND_ASSIGN(at::Tensor tail, file->Read("tail"));
    read.fill_(5);
    tail.fill_(6);
    RequireSame(twin, big);
    RequireSame(neighbour, small);
    REQUIRE(read.eq(5).all().item<bool>());
  }
  file->Release("big");
  file->Release("absent");
  ASSERT_OK_AND_ASSIGN(at::Tensor again, file->Read("big"));
  RequireSame(again, big);
  ASSERT_OK_AND_ASSIGN(at::Tensor tail, file->Read("tail"));
  RequireSame(tail, small);
  ASSERT_OK_AND_ASSIGN(auto fresh, OpenSafetensors(env, path));
  ASSERT_OK_AND_ASSIGN(at::Tensor on_disk, fresh->Read("big"));
  RequireSame(on_disk, big);
  // A tensor outlives its source.
  file.reset();
  fresh.reset();
  RequireSame(on_disk, big);
  REQUIRE_OK(env.RemoveAll(dir));
}

}  // namespace
}  // namespace wanlite
