// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What every command of the command line shares: where text goes, how a run is cancelled.
#ifndef WANLITE_SRC_CLI_SESSION_H_
#define WANLITE_SRC_CLI_SESSION_H_

#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/architecture.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"

namespace CLI {
class App;
}
namespace wanlite::cli {

using Json = nlohmann::ordered_json;

class Session {
 public:
  explicit Session(CancellationToken& cancel) : cancel_(cancel) {}

  Env& env() { return PosixEnv(); }
  const ArchitectureRegistry& architectures() { return BuiltinArchitectures(); }
  const CancellationToken& cancel() const { return cancel_; }
  // A bar on a terminal, plain lines in a pipe, nothing with --quiet. Standard error.
  ProgressSink& progress();

  // Results. With --json standard output holds exactly one JSON value, and Say() goes to standard
  // error. What cannot be written is told by Finish().
  void Say(absl::string_view text);
  // "note: …" lines on standard error, nothing with --quiet.
  void SayNotes(const std::vector<std::string>& notes);
  void PrintJson(const Json& json);
  // A JSON value that is text already.
  void PrintJsonText(const std::string& json);

  // An error when any of it did not reach standard output.
  absl::Status Finish();

  // Of a command that did what it was asked and found something; used when all went well.
  int exit_code = 0;

  bool json = false;   // --json
  bool quiet = false;  // --quiet

 private:
  void Write(absl::string_view text, std::FILE* out);

  CancellationToken& cancel_;
  absl::Status written_;
  std::unique_ptr<ProgressSink> progress_;
};

// One command, ready to run after parsing.
struct Command {
  CLI::App* app = nullptr;
  std::function<absl::Status(Session&)> run;
  // Said after Ctrl-C: how to go on.
  std::string resume = "nothing was written";
  // How long it has to end by itself after a signal. Loops over files and steps ask the token far
  // more often than this.
  int grace_milliseconds = 700;
};

Command AddCompress(CLI::App& root);
Command AddConvert(CLI::App& root);
Command AddDoctor(CLI::App& root);
Command AddEvaluate(CLI::App& root);
Command AddExportLora(CLI::App& root);
Command AddExtractLora(CLI::App& root);
Command AddFlops(CLI::App& root);
Command AddForward(CLI::App& root);
Command AddFrechet(CLI::App& root);
Command AddGenerate(CLI::App& root);
Command AddInspect(CLI::App& root);
Command AddLaunch(CLI::App& root);
Command AddPlan(CLI::App& root);
Command AddRecord(CLI::App& root);
Command AddReportCurves(CLI::App& root);
Command AddReportTraining(CLI::App& root);
Command AddTrain(CLI::App& root);
Command AddVersion(CLI::App& root);

// 0 OK; 1 Internal, Unknown; 2 is for the caller (usage); 3 InvalidArgument, OutOfRange; 4
// NotFound; 5 AlreadyExists, FailedPrecondition; 6 ResourceExhausted; 7 Unimplemented; 8
// Unavailable, DeadlineExceeded; 9 PermissionDenied, Unauthenticated; 10 DataLoss, Aborted; 130
// Cancelled.
int ExitCode(const absl::Status& status);
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnhealthy = 11;  // of doctor
// The same for people, for --help.
std::string ExitCodeHelp();

// The message on one line, without the backtraces that libraries append, fit for a terminal.
std::string OneLine(absl::string_view message);
// The text with its control characters, but line ends and tabs, written out ("\x1B"): names in
// files must not steer the terminal.
std::string Printable(absl::string_view text);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_SESSION_H_
