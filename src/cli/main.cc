// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The command line: finds the command, runs it, turns its status into one line and an exit code.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "src/cli/interrupt.h"
#include "src/cli/options.h"
#include "src/core/catch_torch.h"

namespace wanlite::cli {
namespace {

// A standard stream that the caller closed would lend its number to the first file that is opened,
// and what is printed would go into that file. As it is, printing fails and is reported.
void ReserveStandardStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) == -1) (void)!open("/dev/null", O_RDONLY);
  }
}

bool IsHelp(const std::string& argument) { return argument == "--help" || argument == "-h"; }

int Usage(const std::string& program, absl::string_view message) {
  std::fprintf(stderr, "%s: %s\nSee '%s --help'.\n", program.c_str(), OneLine(message).c_str(),
               program.c_str());
  return kExitUsage;
}

// The end of a command: its own error, or that its output did not reach standard output.
int End(const std::string& program, const Command* command, absl::Status status, Session& session) {
  if (status.ok()) status = session.Finish();
  if (status.ok()) return session.exit_code;
  if (absl::IsCancelled(status) && command != nullptr) {
    std::fprintf(stderr, "%s: interrupted; %s\n", program.c_str(), command->resume.c_str());
  } else {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), OneLine(status.message()).c_str());
  }
  return ExitCode(status);
}

int Run(int argc, const char* const* argv) {
  ReserveStandardStreams();
  CLI::App app{"wanlite makes video diffusion models of the Wan2.2 family smaller, and runs them."};
  app.name("wanlite");
  // CLI11's own help leaves by an exception; ours is an option that is looked for before parsing.
  app.set_help_flag();
  bool help = false;
  app.add_flag("-h,--help", help, "show this, or the help of a command");
  app.require_subcommand(1);
  app.footer(
      "\nA first walk:\n"
      "  wanlite inspect --model DIR\n"
      "  wanlite plan --model DIR --recipe examples/recipes/digits_int8.textproto\n"
      "  wanlite compress --model DIR --recipe examples/recipes/digits_int8.textproto --out SMALL\n"
      "  wanlite generate --model SMALL --prompt \"a red digit 3 moves right\" --out clip.webp\n"
      "  wanlite evaluate --original DIR --compressed SMALL\n"
      "  wanlite doctor --original DIR --compressed SMALL        when the clip is noise\n\n" +
      ExitCodeHelp());

  static CancellationToken& cancel = *new CancellationToken;
  Session session(cancel);
  std::vector<Command> commands{AddInspect(app),     AddPlan(app),         AddCompress(app),
                                AddGenerate(app),    AddEvaluate(app),     AddForward(app),
                                AddFlops(app),       AddFrechet(app),      AddConvert(app),
                                AddRecord(app),      AddReportCurves(app), AddReportTraining(app),
                                AddTrain(app),       AddLaunch(app),       AddExportLora(app),
                                AddExtractLora(app), AddDoctor(app),       AddVersion(app)};
  for (const Command& command : commands) {
    command.app->add_flag("--json", session.json,
                          "print one JSON value on standard output, text on stderr");
    command.app->add_flag("--quiet", session.quiet, "no progress");
    command.app->add_flag("-h,--help", help, "show this");
  }

  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const Command* named = nullptr;
  if (!arguments.empty()) {
    const size_t at = arguments[0] == "help" && arguments.size() > 1 ? 1 : 0;
    for (const Command& command : commands) {
      if (command.app->get_name() == arguments[at]) named = &command;
    }
  }
  const std::string program = named != nullptr ? "wanlite " + named->app->get_name() : "wanlite";
  const bool wants_help =
      !arguments.empty() &&
      (arguments[0] == "help" || std::any_of(arguments.begin(), arguments.end(), IsHelp));
  if (wants_help) {
    session.Say(named != nullptr ? named->app->help("wanlite") : app.help());
    return End(program, nullptr, absl::OkStatus(), session);
  }
  if (arguments.empty()) {
    std::fputs(app.help().c_str(), stderr);
    return kExitUsage;
  }
  if (named == nullptr && arguments[0] == "--version") {
    named = &commands.back();
  } else if (named == nullptr) {
    return Usage(program, "unknown command '" + arguments[0] + "'");
  } else {
    const absl::Status parsed = CatchTorch([&] { app.parse(argc, argv); });
    if (!parsed.ok()) return Usage(program, parsed.message());
  }

  CatchInterrupts(cancel, program + ": interrupted; " + named->resume + "\n",
                  named->grace_milliseconds);
  absl::Status status = CatchTorch([&] { return named->run(session); });
  StopCatchingInterrupts();
  return End(program, named, std::move(status), session);
}

}  // namespace
}  // namespace wanlite::cli

int main(int argc, char** argv) { return wanlite::cli::Run(argc, argv); }
