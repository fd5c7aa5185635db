// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/torchscript_file.h"

#include <caffe2/serialize/read_adapter_interface.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/core/catch_torch.h"
#include "src/core/sha256.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// LibTorch's own file reader would open the path itself; this one stays inside the mapping.
class MappingReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MappingReader(std::shared_ptr<const FileMapping> file) : file_(std::move(file)) {}
  size_t size() const override { return file_->data().size(); }
  size_t read(uint64_t pos, void* buffer, size_t n, const char*) const override {
    if (pos >= size()) return 0;
    const size_t count = std::min<size_t>(n, size() - pos);
    std::memcpy(buffer, file_->data().data() + pos, count);
    return count;
  }

 private:
  std::shared_ptr<const FileMapping> file_;
};

}  // namespace

std::string FailureText(absl::string_view message) {
  const char* all = std::getenv("WANLITE_TRACEBACK");
  if (all != nullptr && *all != '\0') return std::string(message);
  // Python's order: the error itself stands in the last line that names one, behind the calls. Of a
  // message without a traceback the first line says what is wrong.
  std::vector<absl::string_view> lines = absl::StrSplit(message, '\n', absl::SkipWhitespace());
  if (lines.empty()) return "no message";
  absl::string_view line = lines.front();
  if (absl::StrContains(message, "Traceback of TorchScript")) {
    line = lines.back();
    for (const absl::string_view one : lines) {
      const absl::string_view name = one.substr(0, one.find(':'));
      if (absl::EndsWith(name, "Error") || absl::EndsWith(name, "Exception")) line = one;
    }
  }
  return absl::StrCat(absl::StripAsciiWhitespace(line),
                      lines.size() > 1 ? " (WANLITE_TRACEBACK=1 shows all of it)" : "");
}

absl::StatusOr<TorchScriptFile> LoadTorchScript(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const FileMapping> file, env.Map(path));
  std::string digest = Sha256Hex({file->data().data(), file->data().size()});
  absl::StatusOr<torch::jit::Module> module = CatchTorch([&] {
    torch::jit::Module loaded = torch::jit::load(std::make_shared<MappingReader>(file), at::kCPU);
    loaded.eval();
    return loaded;
  });
  if (!module.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a TorchScript file that LibTorch can read: ",
                     FailureText(module.status().message())));
  }
  return TorchScriptFile{*std::move(module), std::move(digest)};
}

}  // namespace wanlite
