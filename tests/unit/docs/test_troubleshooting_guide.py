# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages in the guide to troubleshooting are those of the code."""

from __future__ import annotations

import pathlib
import re

_COLLECTION = pathlib.Path(__file__).resolve().parents[3]
_OTHERS = {
    # The agent's.
    "guest-exec … has been disabled",
    # ssh's.
    "Host key verification",
    "Permission denied",
    # A package module's.
    "No package matching … is available",
}
"""Messages that are not from this collection."""


def _messages() -> set[str]:
    guide = (_COLLECTION / "docs" / "docsite" / "rst" / "troubleshooting_guide.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - (.*)$", guide, flags=re.MULTILINE)
    return {message for row in rows for message in re.findall(r"``(.*?)``", row)}


def test_messages_are_in_the_code() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (_COLLECTION / "plugins").rglob("*.py")]
    # A message may be broken over several lines.
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", source) for source in sources)
    messages = _messages() - _OTHERS
    assert len(messages) > 10
    assert [message for message in messages if not all(part.strip() in code for part in message.split("…"))] == []


def test_messages_of_others_are_in_the_guide() -> None:
    assert _messages() >= _OTHERS
