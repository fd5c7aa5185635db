// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/tokenizer.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "src/core/input_limits.h"
#include "src/core/libtorch.h"
#include "src/model/wan/charsmap.h"
#include "src/model/wan/prompt_cleaning.h"
#include "src/model/wan/tokenizer_trainer.h"
#include "src/proto/recipe.pb.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"

namespace wanlite::wan {
namespace {

// Tests run in the root of the source tree.
constexpr char kGoldenJson[] = "tests/golden/data/tokenizer.json";
constexpr char kGoldenFolder[] = "tests/golden/data/tokenizer";

// SentencePiece cannot be loaded under AddressSanitizer (see sentencepiece_bridge.cc).
bool WithoutSentencePiece() {
#ifdef __SANITIZE_ADDRESS__
  WARN("skipped: no SentencePiece under AddressSanitizer");
  return true;
#else
  return false;
#endif
}

Tokenizer GoldenTokenizer() {
  ASSERT_OK_AND_ASSIGN(Tokenizer tokenizer, Tokenizer::Load(PosixEnv(), kGoldenFolder));
  return tokenizer;
}

std::vector<int64_t> Row(const at::Tensor& matrix, int64_t row) {
  const int64_t* begin = matrix.const_data_ptr<int64_t>() + row * matrix.size(1);
  return {begin, begin + matrix.size(1)};
}

TEST_CASE("Tokenizer: cleaning, ids and masks are those of the Python pipeline", "[golden]") {
  if (WithoutSentencePiece()) return;
  std::ifstream file(kGoldenJson);
  const nlohmann::json golden = nlohmann::json::parse(file, nullptr, false);
  REQUIRE(golden.is_object());
  REQUIRE(golden["cases"].size() >= 30);
  const Tokenizer tokenizer = GoldenTokenizer();
  for (const nlohmann::json& item : golden["cases"]) {
    const std::string prompt = item["prompt"];
    INFO(prompt);
    CHECK(CleanPrompt(prompt) == item["cleaned"].get<std::string>());
    ASSERT_OK_AND_ASSIGN(const TokenizedText text,
                         tokenizer.Encode(prompt, item["length"].get<int64_t>()));
    CHECK(Row(text.input_ids, 0) == item["ids"].get<std::vector<int64_t>>());
    CHECK(Row(text.attention_mask, 0) == item["mask"].get<std::vector<int64_t>>());
  }
}

// SentencePiece brings a protobuf of its own; both must work in one process, in any order.
TEST_CASE("Tokenizer: works beside the protobuf of the process") {
  if (WithoutSentencePiece()) return;
  Recipe recipe;
  recipe.set_name("before");
  const Tokenizer tokenizer = GoldenTokenizer();
  REQUIRE_OK(TrainTokenizer({"A white digit 7 moves to the left."}, {}));
  Recipe again;
  REQUIRE(again.ParseFromString(recipe.SerializeAsString()));
  CHECK(again.name() == "before");
  REQUIRE_OK(tokenizer.Encode("A white digit 7", 16));
  CHECK(again.ShortDebugString() == "name: \"before\"");
}

TEST_CASE("Tokenizer: truncation keeps the end of sentence, padding is masked") {
  if (WithoutSentencePiece()) return;
  const Tokenizer tokenizer = GoldenTokenizer();
  CHECK(tokenizer.eos_id() == 1);
  CHECK(tokenizer.pad_id() == 0);
  ASSERT_OK_AND_ASSIGN(const TokenizedText cut, tokenizer.Encode("A white digit 7 moves", 4));
  CHECK(cut.input_ids[0][3].item<int64_t>() == 1);
  CHECK(cut.attention_mask.sum().item<int64_t>() == 4);
  ASSERT_OK_AND_ASSIGN(const TokenizedText one, tokenizer.Encode("A white digit 7 moves", 1));
  CHECK(Row(one.input_ids, 0) == std::vector<int64_t>{1});
  ASSERT_OK_AND_ASSIGN(const TokenizedText empty, tokenizer.Encode("", 3));
  CHECK(Row(empty.input_ids, 0) == std::vector<int64_t>{1, 0, 0});
  CHECK(Row(empty.attention_mask, 0) == std::vector<int64_t>{1, 0, 0});
  CHECK(tokenizer.Encode("a", 0).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Tokenizer: a batch holds what its prompts give alone") {
  if (WithoutSentencePiece()) return;
  const Tokenizer tokenizer = GoldenTokenizer();
  const std::vector<std::string> prompts = {"A white digit 7", "", "数字7向右移动。"};
  ASSERT_OK_AND_ASSIGN(const TokenizedText batch, tokenizer.EncodeBatch(prompts, 16));
  REQUIRE(batch.input_ids.sizes() == at::IntArrayRef({3, 16}));
  for (int64_t row = 0; row < 3; ++row) {
    ASSERT_OK_AND_ASSIGN(const TokenizedText alone, tokenizer.Encode(prompts[row], 16));
    CHECK(Row(batch.input_ids, row) == Row(alone.input_ids, 0));
    CHECK(Row(batch.attention_mask, row) == Row(alone.attention_mask, 0));
  }
}

TEST_CASE("Tokenizer: bytes that are not UTF-8 are encoded without failing") {
  if (WithoutSentencePiece()) return;
  const Tokenizer tokenizer = GoldenTokenizer();
  for (const std::string prompt : {"\xff\xfe", "a\xe3\x81", "\xc3 b", "\xf0\x9f\x99"}) {
    REQUIRE_OK(tokenizer.Encode(prompt, 16));
  }
}

TEST_CASE("Tokenizer: a folder without a readable model is refused with the reason") {
  if (WithoutSentencePiece()) return;
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders("t"));
  const absl::Status nothing = Tokenizer::Load(*env, "t").status();
  CHECK(nothing.code() == absl::StatusCode::kNotFound);
  REQUIRE_OK(env->WriteFileAtomically("t/tokenizer.json", "{}"));
  const absl::Status json = Tokenizer::Load(*env, "t").status();
  CHECK(json.code() == absl::StatusCode::kUnimplemented);
  CHECK(std::string(json.message()).find("spiece.model") != std::string::npos);
  REQUIRE_OK(env->WriteFileAtomically("t/spiece.model", "not a model"));
  const absl::Status broken = Tokenizer::Load(*env, "t").status();
  CHECK(broken.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(broken.message()).find("t/spiece.model") != std::string::npos);
}

TEST_CASE("Tokenizer: truncated and damaged models fail or load, but never crash") {
  if (WithoutSentencePiece()) return;
  std::ifstream file(std::string(kGoldenFolder) + "/spiece.model", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  REQUIRE(good.size() > 1000);
  for (size_t size = 0; size < good.size(); size += good.size() / 40 + 1) {
    const auto cut = Tokenizer::Parse(good.substr(0, size));
    if (cut.ok()) REQUIRE_OK(cut->Encode("A white digit 7", 16));
  }
}

// A message field of protobuf with a length.
std::string Field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (size_t size = bytes.size();; size >>= 7) {
    out += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
    if (size <= 0x7f) break;
  }
  return out + bytes;
}

constexpr char kTexts[] = "x\0yz";  // of 5 bytes, with the last zero

std::string Charsmap(const std::vector<uint32_t>& units, const std::string& texts) {
  const uint32_t bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::string out(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  out.append(reinterpret_cast<const char*>(units.data()), bytes);
  return out + texts;
}

constexpr uint32_t kLeaf = 1u << 8;
uint32_t CharUnit(uint32_t byte, uint32_t offset, uint32_t flags = 0) {
  return byte | offset << 10 | flags;
}

// "A" -> the text at `value`. The root's children are the units 256 and on, those of "A" the units
// 512 and on.
std::vector<uint32_t> OneLetterTrie(uint32_t value) {
  std::vector<uint32_t> units(768, 0x80000000u);
  units[0] = CharUnit(0, 256);
  units[256 + 'A'] = CharUnit('A', (256 + 'A') ^ 512, kLeaf);
  units[512] = 0x80000000u | value;
  return units;
}

std::string CharsmapError(const std::vector<uint32_t>& units,
                          const std::string& texts = std::string(kTexts, 5)) {
  return std::string(CheckCharsmap(Charsmap(units, texts)).message());
}

TEST_CASE("CheckCharsmap: a table whose every path stays inside is taken") {
  CHECK(CharsmapError(OneLetterTrie(0)) == "");
  CHECK(CharsmapError(OneLetterTrie(4)) == "");
  // Two letters that share what follows them, as the library's own builder makes it.
  std::vector<uint32_t> shared = OneLetterTrie(2);
  shared[256 + 'B'] = CharUnit('B', (256 + 'B') ^ 512, kLeaf);
  CHECK(CharsmapError(shared) == "");
}

TEST_CASE("CheckCharsmap: a table that leads out of its array or its texts is refused") {
  CHECK(absl::StrContains(CharsmapError(OneLetterTrie(5)), "byte 5 of 5"));
  CHECK(absl::StrContains(CharsmapError(OneLetterTrie(0x7fffffff)), "of 5"));
  CHECK(absl::StrContains(CharsmapError(OneLetterTrie(0), "xyz"), "the last text has no end"));
  std::vector<uint32_t> units = OneLetterTrie(0);
  units[0] = CharUnit(0, 768);
  CHECK(absl::StrContains(CharsmapError(units), "unit 1023 of 768"));
  units = OneLetterTrie(0);
  units[256 + 'A'] = CharUnit('A', (1u << 20), kLeaf);
  CHECK(absl::StrContains(CharsmapError(units), "of 768"));
  units = OneLetterTrie(0);
  units[256 + 'A'] = CharUnit('A', 1u << 12, 1u << 9);  // an offset in steps of 256
  CHECK(absl::StrContains(CharsmapError(units), "of 768"));
  units = OneLetterTrie(0);
  units.resize(700);  // a byte after "A" may lead to any unit up to 767
  CHECK(absl::StrContains(CharsmapError(units), "unit 767 of 700"));
  units = OneLetterTrie(0);
  units[256 + 'A'] = CharUnit('A', 'A', kLeaf);  // back to the root's children
  CHECK(absl::StrContains(CharsmapError(units), "back into itself"));
  CHECK_FALSE(CheckCharsmap("").ok());
  CHECK_FALSE(CheckCharsmap(std::string("\xff\xff\xff\xff\0", 5)).ok());
  CHECK_FALSE(CheckCharsmap(Charsmap({}, "x")).ok());
  CHECK_FALSE(CheckCharsmap(std::string(kMaxCharsmapBytes + 1, '\0')).ok());
}

TEST_CASE("CheckCharsmap: a text that finds more values than the library has room for is refused") {
  // "A", "AA", "AAA", ...: each a value.
  const auto chain = [](uint32_t length) {
    std::vector<uint32_t> units(256 * (length + 2), 0x80000000u);
    units[0] = CharUnit(0, 256);
    for (uint32_t i = 1; i <= length; ++i) {
      const uint32_t at = 256 * i + 'A';
      units[at] = CharUnit('A', at ^ (256 * (i + 1)), kLeaf);
    }
    return units;
  };
  CHECK(CharsmapError(chain(32)) == "");
  CHECK(absl::StrContains(CharsmapError(chain(33)), "more than 32 values"));
  CHECK(absl::StrContains(CharsmapError(chain(2000)), "more than 32 values"));
}

TEST_CASE("Tokenizer: a hostile table of characters is refused before the library reads it") {
  if (WithoutSentencePiece()) return;
  std::ifstream file(std::string(kGoldenFolder) + "/spiece.model", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  REQUIRE_OK(CheckCharsmaps(good));
  std::vector<uint32_t> wild(256, 0xfffffcffu);
  // The specs of normalisation and of its reverse; of several in one file all count.
  for (const int spec : {3, 5}) {
    const std::string bad = good + Field(spec, Field(2, Charsmap(wild, std::string("x\0", 2))));
    const absl::Status refused = Tokenizer::Parse(bad).status();
    CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
    CHECK(absl::StrContains(std::string(refused.message()), "character normalisation"));
  }
  // A number of a field that protobuf reads modulo 2^32 is none.
  std::string disguised = Field(3, Field(2, Charsmap(wild, std::string("x\0", 2))));
  disguised.replace(0, 1, std::string("\x9a\x80\x80\x80\x10", 5));
  CHECK_FALSE(Tokenizer::Parse(good + disguised).ok());
}

TEST_CASE("Tokenizer: models with damaged bytes fail or load, but never crash") {
  if (WithoutSentencePiece()) return;
  std::ifstream file(std::string(kGoldenFolder) + "/spiece.model", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t random = 1;
  for (int round = 0; round < 200; ++round) {
    std::string damaged = good;
    for (int i = 0; i < 3; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      damaged[(random >> 33) % damaged.size()] ^= static_cast<char>(1 << (random >> 60 & 7));
    }
    const auto tokenizer = Tokenizer::Parse(damaged);
    if (tokenizer.ok()) tokenizer->Encode("A white ﬁ ① digit 7 が", 16).status().IgnoreError();
  }
}

TEST_CASE("Tokenizer: a length beyond the limit is refused before memory is taken") {
  if (WithoutSentencePiece()) return;
  const Tokenizer tokenizer = GoldenTokenizer();
  CHECK(tokenizer.Encode("a", kMaxTextTokens).ok());
  CHECK(tokenizer.Encode("a", kMaxTextTokens + 1).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("HtmlUnescape: reads references as HTML 5 does") {
  CHECK(HtmlUnescape("&lt;b&gt;&amp;amp;&quot;&#39;") == "<b>&amp;\"'");
  CHECK(HtmlUnescape("&eacute;&eacute &copyright") ==
        "é"
        "é ©right");
  CHECK(HtmlUnescape("&CounterClockwiseContourIntegral;") == "∳");
  CHECK(HtmlUnescape("&#x1F600;&#128;&#129;") == "😀€\xC2\x81");
  CHECK(HtmlUnescape("&#0;&#xD800;&#99999999999999;") == "\uFFFD\uFFFD\uFFFD");
  CHECK(HtmlUnescape("&#11;&#x;&#;&;&a;& &") == "&#x;&#;&;&a;& &");
  CHECK(HtmlUnescape("") == "");
}

TEST_CASE("CollapseWhitespace: Unicode spaces become one, ends are bare, other bytes stay") {
  CHECK(CollapseWhitespace(" \t a\u3000\u00a0b\r\n") == "a b");
  CHECK(CollapseWhitespace("\u2003\u2028") == "");
  CHECK(CollapseWhitespace("a\u200bb") == "a\u200bb");  // a zero-width space is none
  CHECK(CollapseWhitespace("\xe3\x80") == "\xe3\x80");
}

std::vector<std::string> Corpus() {
  std::vector<std::string> sentences;
  for (int i = 0; i < 10; ++i) {
    const std::string digit = std::to_string(i);
    sentences.push_back("A white digit " + digit + " moves to the left.");
    sentences.push_back("数字" + digit + "向右移动。");
    sentences.push_back("手書きの数字" + digit + "が左に動きます。");
  }
  return sentences;
}

TEST_CASE("TrainTokenizer: gives umT5's special ids, covers the corpus and is reproducible") {
  if (WithoutSentencePiece()) return;
  TokenizerTrainerOptions options;
  options.vocabulary_size = 120;
  ASSERT_OK_AND_ASSIGN(const std::string model, TrainTokenizer(Corpus(), options));
  ASSERT_OK_AND_ASSIGN(const std::string again, TrainTokenizer(Corpus(), options));
  CHECK(model == again);
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Parse(model));
  CHECK(tokenizer.vocabulary_size() <= 120);
  CHECK(tokenizer.eos_id() == 1);
  CHECK(tokenizer.pad_id() == 0);
  for (const std::string& sentence : Corpus()) {
    INFO(sentence);
    ASSERT_OK_AND_ASSIGN(const TokenizedText text, tokenizer.Encode(sentence, 64));
    CHECK((text.input_ids == 2).sum().item<int64_t>() == 0);  // no <unk>
    CHECK(text.input_ids.max().item<int64_t>() < tokenizer.vocabulary_size());
  }
  ASSERT_OK_AND_ASSIGN(const TokenizedText other, tokenizer.Encode("Ж", 8));
  CHECK((other.input_ids == 2).sum().item<int64_t>() == 1);
}

TEST_CASE("TrainTokenizer: with byte fallback nothing is unknown") {
  if (WithoutSentencePiece()) return;
  TokenizerTrainerOptions options;
  options.vocabulary_size = 400;
  options.byte_fallback = true;
  ASSERT_OK_AND_ASSIGN(const std::string model, TrainTokenizer(Corpus(), options));
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Parse(model));
  ASSERT_OK_AND_ASSIGN(const TokenizedText text, tokenizer.Encode("Ж🙂", 16));
  CHECK((text.input_ids == 2).sum().item<int64_t>() == 0);
}

TEST_CASE("TrainTokenizer: impossible requests are refused") {
  if (WithoutSentencePiece()) return;
  CHECK(TrainTokenizer({}, {}).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(TrainTokenizer({"", ""}, {}).status().code() == absl::StatusCode::kInvalidArgument);
  TokenizerTrainerOptions small;
  small.vocabulary_size = 8;
  const absl::Status status = TrainTokenizer(Corpus(), small).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(status.message()).find("8 pieces") != std::string::npos);
}

}  // namespace
}  // namespace wanlite::wan
