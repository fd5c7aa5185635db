// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Ctrl-C, SIGTERM and a terminal that is closed: an end within a second, whatever is being
// computed, with nothing half-made left behind.
#ifndef WANLITE_SRC_CLI_INTERRUPT_H_
#define WANLITE_SRC_CLI_INTERRUPT_H_

#include <string>

#include "wanlite/progress.h"

namespace wanlite::cli {

// The first signal cancels `cancel`, which must live as long as the process. Work that does not end
// within `grace_milliseconds` after, being in one long computation say, is ended, but that a
// DurableStep has half a minute: temporary files are removed, `message` goes to standard error, and
// the exit code is that of a cancelled command. The second signal does so at once.
void CatchInterrupts(CancellationToken& cancel, const std::string& message, int grace_milliseconds);

// The work is done: from here on the process ends by itself.
void StopCatchingInterrupts();

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_INTERRUPT_H_
