// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/version.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "wanlite/registry.h"
#include "wanlite/video.h"

namespace wanlite::cli {

Command AddVersion(CLI::App& root) {
  Command command;
  command.app = AddCommand(root, "version", "What this build is and knows", "wanlite version");
  command.run = [](Session& session) {
    std::vector<std::string> architectures;
    for (const Architecture& one : session.architectures().architectures()) {
      architectures.push_back(one.name);
    }
    const std::vector<std::string> passes = BuiltinPasses().option_types();
    if (session.json) {
      session.PrintJson(Json{{"version", WANLITE_VERSION},
                             {"libtorch", TORCH_VERSION},
                             {"architectures", architectures},
                             {"passes", passes},
                             {"video_formats", VideoFormats()}});
      return absl::OkStatus();
    }
    session.Say(absl::StrCat("wanlite ", WANLITE_VERSION, ", LibTorch ", TORCH_VERSION,
                             "\narchitectures:  ", absl::StrJoin(architectures, ", "),
                             "\npasses:         ", absl::StrJoin(passes, ", "),
                             "\nvideo formats:  ", absl::StrJoin(VideoFormats(), ", "), "\n"));
    return absl::OkStatus();
  };
  return command;
}

}  // namespace wanlite::cli
