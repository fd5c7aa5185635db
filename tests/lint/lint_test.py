# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/lint.py fires on a tree that breaks it and is silent on one that does not."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPDX = "// SPDX-FileCopyrightText: 2026 The wanlite authors\n// SPDX-License-Identifier: Apache-2.0\n"
CLEAN = {
    "src/core/CMakeLists.txt": SPDX.replace("//", "#") + "wanlite_area(core SOURCES a.cc)\n",
    "src/core/a.cc": SPDX + '// we never throw\nint a() { return sizeof("catch (it)"); }\n',
    "src/model/CMakeLists.txt": SPDX.replace("//", "#")
                                + "wanlite_area(model SOURCES b.cc DEPENDS core)\n",
    "src/model/b.cc": SPDX + '#include "src/core/a.h"\n',
    "include/wanlite/c.h": SPDX + "#ifndef WANLITE_C_H_\n#define WANLITE_C_H_\n#endif\n",
}


def lint(changes):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **changes}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        result = subprocess.run(
            [sys.executable, os.path.join(ROOT, "tools/lint.py"), "--rules", "--root", root],
            text=True, capture_output=True, check=False)
        return result.returncode, result.stdout


class LintTest(unittest.TestCase):
    def expect(self, changes, where, words):
        code, output = lint(changes)
        self.assertEqual(code, 1, output)
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertTrue(output.startswith(where), output)
        self.assertIn(words, output)

    def test_clean_tree_passes(self):
        self.assertEqual(lint({}), (0, ""))

    def test_throw(self):
        self.expect({"src/core/a.cc": SPDX + "void a() {\n  throw 1;\n}\n"}, "src/core/a.cc:4:", "throw")

    def test_catch(self):
        self.expect({"src/core/a.cc": SPDX + "void a() { try {} catch (...) {} }\n"},
                    "src/core/a.cc:3:", "CatchTorch")

    def test_slow_public_header(self):
        text = CLEAN["include/wanlite/c.h"] + "#include <torch/torch.h>\n"
        self.expect({"include/wanlite/c.h": text}, "include/wanlite/c.h:6:", "torch.h")

    def test_slow_private_include(self):
        self.expect({"src/core/a.cc": SPDX + "#include <torch/torch.h>\n"}, "src/core/a.cc:3:", "libtorch.h")

    def test_private_include_in_public_header(self):
        text = CLEAN["include/wanlite/c.h"] + '#include "src/core/a.h"\n'
        self.expect({"include/wanlite/c.h": text}, "include/wanlite/c.h:6:", "private")

    def test_wrong_guard(self):
        text = CLEAN["include/wanlite/c.h"].replace("C_H_", "D_H_")
        self.expect({"include/wanlite/c.h": text}, "include/wanlite/c.h:1:", "WANLITE_C_H_")

    def test_missing_licence(self):
        self.expect({"src/core/a.cc": SPDX.split("\n", 1)[1] + "int a;\n"}, "src/core/a.cc:1:", "SPDX")

    def test_upward_include(self):
        self.expect({"src/core/a.cc": SPDX + '#include "src/model/b.h"\n'}, "src/core/a.cc:3:",
                    "may not include model")

    def test_wan_header_in_a_pass(self):
        self.expect({"src/core/a.cc": SPDX + '#include "wanlite/wan/config.h"\n'}, "src/core/a.cc:3:",
                    "any model")

    def test_unbuilt_file(self):
        self.expect({"src/core/orphan.cc": SPDX}, "src/core/orphan.cc:1:", "nothing builds it")

    def test_long_file(self):
        self.expect({"src/core/a.cc": SPDX + "\n" * 700}, "src/core/a.cc:700:", "702 lines")

    def test_cuda_macro_outside_ops(self):
        self.expect({"src/core/a.cc": SPDX + "#ifdef WANLITE_HAVE_CUDA\n#endif\n"}, "src/core/a.cc:3:",
                    "CUDA")

    def test_path_of_a_machine(self):
        self.expect({"src/core/a.cc": SPDX + "// see /ro" + "ot/notes\n"}, "src/core/a.cc:3:", "one machine")


if __name__ == "__main__":
    unittest.main()
