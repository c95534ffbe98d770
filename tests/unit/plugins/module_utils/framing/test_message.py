# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line becomes a value, and is not kept next to it."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import Line
from ansible_collections.netless.qga.plugins.module_utils.framing.message import parse


def test_parsed_line_has_no_content_left() -> None:
    line = Line(b'{"return": 1}', 14)
    assert parse(line, Limits()) == {"return": 1}
    assert line.content == b""
