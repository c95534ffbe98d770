# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cut a stream into lines in the simplest way: at each LF, then at each sentinel."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import Line


def lines_of(stream: bytes, limit: int) -> list[Line]:
    """Return the lines of a whole stream.

    :param limit: how many bytes a line may have.
    """
    lines = []
    for text in stream.split(b"\n")[:-1]:
        *cut, last = text.split(b"\xff")
        for index, part in enumerate(cut):
            if len(part) > limit:
                lines.append(Line(b"", len(part) + bool(index), sentinel=index > 0, overlong=True))
        overlong = len(last) > limit
        lines.append(Line(b"" if overlong else last, len(last) + bool(cut) + 1, bool(cut), overlong))
    *cut, dummy = stream.split(b"\n")[-1].split(b"\xff")
    for index, part in enumerate(cut):
        if len(part) > limit:
            lines.append(Line(b"", len(part) + bool(index), sentinel=index > 0, overlong=True))
    return lines
