# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes html_entities.inc, the named character references of HTML 5, from Python's own table.

    python src/model/wan/generate_html_entities.py
"""
import html.entities
import pathlib

LIMIT = 100


def main():
    entries = ['{"%s", "%s"},' % (name, "".join("\\%03o" % byte for byte in text.encode()))
               for name, text in sorted(html.entities.html5.items(), key=lambda item: item[0].encode())]
    lines, line = [], ""
    for entry in entries:
        if line and len(line) + 1 + len(entry) > LIMIT:
            lines.append(line)
            line = ""
        line = line + " " + entry if line else entry
    lines.append(line)
    header = ["// SPDX-FileCopyrightText: 2026 The wanlite authors",
              "// SPDX-License-Identifier: Apache-2.0", "",
              "// Made by generate_html_entities.py: {name, UTF-8}, sorted by name.", "// clang-format off"]
    path = pathlib.Path(__file__).parent / "html_entities.inc"
    path.write_text("\n".join(header + lines + ["// clang-format on"]) + "\n")


if __name__ == "__main__":
    main()
