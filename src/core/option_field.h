// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How OptionError() tells the recipe reader which field it means.
#ifndef WANLITE_SRC_CORE_OPTION_FIELD_H_
#define WANLITE_SRC_CORE_OPTION_FIELD_H_

namespace wanlite {

// Payload of the Status: the field's path inside the options message, "include[1]".
inline constexpr char kOptionFieldPayload[] = "wanlite/option-field";

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_OPTION_FIELD_H_
