// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Feature extractors, opened by a short text as the command line takes it, from a list that a
// program puts together.
#ifndef WANLITE_SRC_METRICS_EXTRACTORS_H_
#define WANLITE_SRC_METRICS_EXTRACTORS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/metrics/feature_extractor.h"
#include "wanlite/env.h"

namespace wanlite {

struct ExtractorOptions {
  // SHA-256 digests, in hexadecimal, of I3D files that the user vouches for, beside the known one.
  std::vector<std::string> fvd_sha256;
};

// One kind of extractor: "NAME" or "NAME:ARGUMENT".
struct ExtractorKind {
  std::string name;      // "torchscript"
  std::string argument;  // what the argument is, for people: "FILE"; empty: there is none
  bool argument_optional = false;
  // `argument` is empty when there is none.
  std::function<absl::StatusOr<std::unique_ptr<FeatureExtractor>>(
      Env& env, absl::string_view argument, const ExtractorOptions& options)>
      open;
};

// A value; no singletons.
class ExtractorRegistry {
 public:
  // AlreadyExists when there is a kind of this name.
  absl::Status Register(ExtractorKind kind);
  // InvalidArgument for a text that is none of the kinds, naming them all.
  absl::StatusOr<std::unique_ptr<FeatureExtractor>> Open(Env& env, absl::string_view spec,
                                                         const ExtractorOptions& options) const;

 private:
  std::vector<ExtractorKind> kinds_;
};

// Those of this area:
//   transnetv2[:FILE]   "FD-TransNetV2", see OpenTransNetV2(). Without FILE: the environment
//                       variable WANLITE_TRANSNETV2; NotFound, with the way to get the weights,
//                       when it is unset
//   torchscript:FILE    "FVD" or "FD-<file stem>", see OpenTorchScript()
//   random3d            "FD-random3d": a small 3-D network with fixed random weights. For tests
//                       only
ExtractorRegistry BuiltinExtractors();

// A TorchScript file, run on the CPU in one of two conventions, found from the signature of
// forward:
//
//   forward(x, rescale: bool, resize: bool, return_features: bool) -> Tensor
//     StyleGAN-V's I3D. Called with [1, 3, F, 224, 224] in [-1, 1] and false, false, true. Whole
//     frames are resized, bilinear without corner alignment and without antialiasing; of a longer
//     clip the first 16 frames are taken, a shorter one goes in as it is.
//   forward(x) -> Tensor
//     Any other network. Called with [1, 3, F, H, W] in [-1, 1], all frames at their own size.
//
// Either must return floating [1, d]. InvalidArgument for another signature (printed beside the
// wanted ones), a broken file, and, by Extract(), for another shape of the result. dim() is 0 until
// the first clip, since a file does not say.
//
// The distance is called "FVD" when the first convention holds and the SHA-256 of the file is that
// of the published I3D or one of options.fvd_sha256; otherwise "FD-<file stem>", and
// preprocessing() says that it is not FVD.
//
// A TorchScript file is a program: reading a broken one is safe, running one is trusting its
// author.
absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenTorchScript(Env& env, absl::string_view path,
                                                                  const ExtractorOptions& options);

// InvalidArgument unless clip is uint8 [F >= 1, H >= 1, W >= 1, 3].
absl::Status CheckClip(const at::Tensor& clip);
// clip: uint8 [F, H, W, 3] -> fp32 [1, 3, F, H, W] in [-1, 1]
at::Tensor ClipToVideo(const at::Tensor& clip);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_EXTRACTORS_H_
