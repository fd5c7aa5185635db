// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/text_table.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"

namespace wanlite::report {
namespace {

constexpr size_t kPrompts = 12;

std::string Known(const std::string& text) { return text.empty() ? NotMeasured() : Escape(text); }

std::string PromptList(const std::vector<std::string>& prompts) {
  if (prompts.empty()) return NotMeasured();
  std::string out;
  for (size_t i = 0; i < std::min(prompts.size(), kPrompts); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : "<br>", Quoted(prompts[i]));
  }
  if (prompts.size() > kPrompts) {
    absl::StrAppend(&out, "<br>and ", prompts.size() - kPrompts, " more");
  }
  return out;
}

}  // namespace

std::string SettingsHtml(const EvaluateReport& report) {
  const GenerateSettings& s = report.settings;
  const uint64_t last = report.first_seed + (report.seeds > 0 ? report.seeds - 1 : 0);
  const bool experts = s.two_experts();
  std::vector<std::pair<std::string, std::string>> rows{
      {"clip", absl::StrCat(s.frames, " frames, ", s.width, "\u00d7", s.height, ", ",
                            Number(s.fps, 3), " frames a second")},
      {"steps", absl::StrCat(s.steps)},
      {"sampler", absl::StrCat(Escape(SamplerName(s.sampler)), ", shift ", Number(s.shift, 3))},
      {"guidance",
       experts ? absl::StrCat(Number(s.guidance, 3), ", low-noise expert ", Number(s.guidance_2, 3))
               : Number(s.guidance, 3)},
      {"change of experts",
       s.boundary_step ? absl::StrCat("at step ", *s.boundary_step + 1)
       : experts       ? absl::StrCat("below ", Number(s.boundary_ratio, 4), " of the timesteps")
                       : "one expert"},
      {"negative prompt", s.negative_prompt.empty() ? "none" : Quoted(s.negative_prompt)},
      {"seeds", report.seeds > 1 ? absl::StrCat(report.first_seed, " to ", last)
                                 : absl::StrCat(report.first_seed)},
      {"prompts of the paired runs", PromptList(report.prompts)},
      {"evaluation set", report.set_name.empty() ? "none" : Escape(report.set_name)},
      {"threads", absl::StrCat(report.threads)}};
  return DefinitionsHtml(rows);
}

std::string MachineHtml(const EvaluateReport& report) {
  const MachineInfo& m = report.machine;
  return "<h3>Machine</h3>\n" +
         DefinitionsHtml(
             {{"processor", Known(m.cpu)},
              {"cores for this process",
               m.logical_cores > 0 ? absl::StrCat(m.logical_cores) : NotMeasured()},
              {"instructions that kernels choose by", Known(absl::StrJoin(m.cpu_features, ", "))},
              {"memory", m.memory_bytes > 0 ? FormatBytes(m.memory_bytes) : NotMeasured()},
              {"device", Known(m.device)},
              {"system", Known(m.system)},
              {"compiler", Known(m.compiler)},
              {"LibTorch", Known(m.libtorch)},
              {"wanlite", absl::StrCat(Known(m.wanlite), ", commit ", Known(m.commit))}});
}

std::string CaveatsHtml(const EvaluateReport& report) {
  std::vector<std::string> items{
      "<b>Operations</b> are counted from shapes, 2 per multiply-add, matrix products and "
      "convolutions only, times the forwards that were measured to run. A multiply-add counts the "
      "same in INT8, so quantization lowers no count; bit operations tell the widths apart. "
      "Element-wise work is listed apart.",
      "<b>Zero weights</b> lower the effective count. They save time only where the realised count "
      "drops with it.",
      "<b>Latency</b> is of this machine and these settings. Medians come with the fastest and the "
      "slowest run; where ranges overlap, the order of two models may be chance. The ratio is "
      "taken over pairs of runs side by side, since what else the machine does hits both.",
      "<b>Size</b> is that of all files of a model folder, text encoder and VAE included.",
      "<b>Peak memory</b> is the resident memory of a process that generates one clip, the program "
      "and its libraries included.",
      "<b>Fr\u00e9chet distances</b> depend on the network that reads the clips, its "
      "preprocessing, the number, length and size of the clips and the divisor of the covariance. "
      "Numbers compare only where all of these agree, so none here compares with published tables.",
      "<b>The floor</b> is the distance of real clips from other real clips of the same prompts, "
      "where the set knows them, at the same count. With no more clips than features a covariance "
      "is singular and the distance biased upwards: "
      "then it ranks models, and says little about how far they are from real.",
      "<b>Intervals of distances</b> are percentiles of a bootstrap over clips. Resampling repeats "
      "clips, which raises the distance of small sets, so they are moved to have the measured "
      "value for their mean: they tell the spread, and nothing of the bias. The interval of a "
      "difference from the original is of a paired bootstrap: both models are resampled by the "
      "same prompts, against the same real clips.",
      "<b>The temporal check</b> damages real clips in time only (frames shuffled; first frame "
      "frozen). A distance that does not rise says nothing about motion and is marked.",
      "<b>FVD</b> is written only for the I3D network whose file has the pinned SHA-256. "
      "Everything "
      "else carries the name of its own network.",
      "<b>Not measured</b> means just that. It is never a zero."};
  for (const std::string& warning : report.warnings) {
    items.push_back("<b>In this report</b> " + Escape(warning) + ".");
  }
  bool caution = false;
  for (const ExtractorReport& e : report.extractors) caution = caution || !e.warning.empty();
  if (caution) {
    items.push_back(
        "<b>In this report</b> some sets are not larger than the feature width: see "
        "the cautions at the distances.");
  }
  if (report.machine.logical_cores > 0 && report.threads > report.machine.logical_cores) {
    items.push_back(absl::StrCat("<b>More threads</b> (", report.threads, ") than cores (",
                                 report.machine.logical_cores,
                                 ") ran: latencies are worse for it."));
  }
  std::string out = "<ul>\n";
  for (const std::string& item : items) absl::StrAppend(&out, "<li>", item, "</li>\n");
  return out + "</ul>\n";
}

}  // namespace wanlite::report
