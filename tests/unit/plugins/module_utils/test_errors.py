# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How foreign text gets into messages."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import excerpt


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("failed to open file '/ä  ö': 没有", "failed to open file '/ä  ö': 没有"),
        ("  sh: not found\n", "sh: not found"),
        ("one\ntwo\r\n\tthree", "one two   three"),
        ("\x1b[31mred\x07\x00\x7f\x9b", "[31mred"),
        ("right \u202e left, \u2028 line, \udc80 surrogate", "right   left,   line,   surrogate"),
        ("", ""),
    ],
)
def test_excerpt_is_one_line_without_control_characters(text: str, shown: str) -> None:
    assert excerpt(text) == shown


def test_excerpt_cuts_long_text() -> None:
    for length in (1, 300):
        assert excerpt("x" * length) == "x" * length
    for length in (301, 1_000_000):
        assert excerpt("x" * length) == "x" * 300 + "..."
    assert excerpt("\n" * 300 + "x" + "\n" * 300) == "x"
