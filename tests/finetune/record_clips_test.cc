// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/record_clips.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/finetune/clips.h"
#include "tests/testing/files_of.h"
#include "wanlite/checkpoint.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::finetune {
namespace {

using testing::DiskWithClips;
using testing::FilesOf;

absl::StatusOr<RecordReport> RecordThem(Env& env, const RecordClipsRequest& given,
                                        const CancellationToken* cancel = nullptr) {
  WANLITE_ASSIGN_OR_RETURN(CaptionedClips clips, CaptionedClips::Open(env, "/clips", nullptr));
  WANLITE_ASSIGN_OR_RETURN(const auto runner,
                           Runner::Open(env, "/model", BuiltinArchitectures(), {}));
  RecordClipsRequest request = given;
  WANLITE_ASSIGN_OR_RETURN(request.settings, runner->Resolve({}));
  request.settings.boundary_ratio = 0.6;
  request.settings.shift = 3;
  return RecordClips(env, *runner, clips, request, "/samples", SilentProgress(), cancel);
}

TEST_CASE("Samples of clips are theirs under noise that their expert is in charge of") {
  const std::unique_ptr<Env> env = DiskWithClips();
  RecordClipsRequest request;
  request.samples = 41;
  request.seed = 5;
  request.caption_dropout = 0.3;
  ASSERT_OK_AND_ASSIGN(const RecordReport report, RecordThem(*env, request));
  CHECK(report.samples ==
        std::map<std::string, int64_t>{{"transformer", 21}, {"transformer_2", 20}});
  CHECK_FALSE(report.resumed);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  REQUIRE(set.info().prompts.size() == 3);
  CHECK(set.info().prompts[1] == "a red digit 1 moves right");
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(const ModelView view, folder.BuildView());
  REQUIRE_OK(set.CheckFits(view));

  std::map<int64_t, at::Tensor> clean;  // by clip
  int dropped = 0;
  for (const auto& [component, low, high] :
       {std::tuple{"transformer", 0.6, 1.0}, std::tuple{"transformer_2", 0.0, 0.6}}) {
    std::vector<double> places;
    for (int64_t i = 0; i < set.size(component); ++i) {
      const SampleInfo& info = set.sample(component, i);
      CHECK(info.prompt == i % 3);
      ASSERT_OK_AND_ASSIGN(const Values values, set.Read(component, i));
      const double sigma = values.at("timestep").item<double>() / 1000;
      CHECK(sigma == Approx(info.timestep / 1000).margin(1e-6));
      CHECK((sigma > low && sigma <= high));
      // sigma' = 3 sigma / (1 + 2 sigma), undone.
      places.push_back(sigma / (3 - 2 * sigma));
      const at::Tensor x0 = values.at("hidden_states") - sigma * values.at(kTargetValue);
      at::Tensor& first = clean[info.prompt];
      if (!first.defined()) first = x0;
      CHECK(at::allclose(x0, first, 1e-4, 1e-4));
      const at::Tensor noise = values.at(kTargetValue) + first;
      CHECK(noise.std().item<double>() == Approx(1).margin(0.25));
      dropped += info.branch == "negative";
    }
    // No gap of the range is larger than a few times the mean gap.
    std::sort(places.begin(), places.end());
    const double range = high / (3 - 2 * high) - low / (3 - 2 * low);
    for (size_t i = 1; i < places.size(); ++i) CHECK(places[i] - places[i - 1] < 0.15 * range);
  }
  CHECK((dropped > 4 && dropped < 22));
  CHECK_FALSE(at::allclose(clean.at(0), clean.at(1), 1e-2, 1e-2));
  ASSERT_OK_AND_ASSIGN(CaptionedClips clips, CaptionedClips::Open(*env, "/clips", nullptr));
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "/model", BuiltinArchitectures(), {}));
  ASSERT_OK_AND_ASSIGN(ClipEncoder encoder, ClipEncoder::Make(*runner));
  ASSERT_OK_AND_ASSIGN(const at::Tensor latents, encoder.Latents(clips, 2, {}));
  CHECK(at::allclose(clean.at(2), latents, 1e-4, 1e-4));
  // A finished set is left alone.
  CHECK(absl::IsAlreadyExists(RecordThem(*env, request).status()));
}

TEST_CASE("Recording clips killed at any write goes on to the same bytes") {
  RecordClipsRequest request;
  request.caption_dropout = 0.5;
  const std::unique_ptr<Env> whole = DiskWithClips();
  const auto counting = NewFaultEnv(*whole, -1);
  ASSERT_OK_AND_ASSIGN(const RecordReport report, RecordThem(*counting, request));
  CHECK(report.samples.at("transformer") == 3);
  const std::map<std::string, std::string> expected = FilesOf(*whole, "/samples");
  CHECK(expected.contains("no-caption.safetensors"));
  const int64_t writes = counting->writes();
  REQUIRE(writes > 8);
  for (int64_t fail_at = 0; fail_at < writes; ++fail_at) {
    const std::unique_ptr<Env> disk = DiskWithClips();
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      if (RecordThem(*failing, request).ok()) REQUIRE(fail_at > writes - 4);
    }
    INFO("killed at write " << fail_at << " of " << writes);
    const absl::Status again = RecordThem(*disk, request).status();
    if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
    REQUIRE(FilesOf(*disk, "/samples") == expected);
  }
  // Another request does not go on with it.
  const std::unique_ptr<Env> disk = DiskWithClips();
  CHECK_FALSE(RecordThem(*NewFaultEnv(*disk, writes / 2), request).ok());
  request.caption_dropout = 0.4;
  CHECK(absl::IsFailedPrecondition(RecordThem(*disk, request).status()));
}

TEST_CASE("Recording clips refuses what cannot be meant") {
  const std::unique_ptr<Env> env = DiskWithClips();
  RecordClipsRequest request;
  request.samples = 1;
  CHECK(RecordThem(*env, request).status().message() ==
        "1 samples of 2 denoisers, wanted at least one of each");
  request.samples = 4;
  request.caption_dropout = 1;
  CHECK(absl::IsInvalidArgument(RecordThem(*env, request).status()));
  request.caption_dropout = 0;
  request.size = {9, 0, 0};
  CHECK(absl::IsInvalidArgument(RecordThem(*env, request).status()));
  CHECK_FALSE(env->FileExists("/samples/samples.json"));
  REQUIRE_OK(env->RemoveAll("/samples"));
  request.size = {};
  CancellationToken cancel;
  cancel.Cancel();
  CHECK(absl::IsCancelled(RecordThem(*env, request, &cancel).status()));
}

}  // namespace
}  // namespace wanlite::finetune
