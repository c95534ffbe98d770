# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bounds for the reply to one command: no more than that command can sensibly return.

The schema is not asked for them, because the connection does not load it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits

# What the members of a reply take in addition to base64, in bytes.
_FRAME = 4096

# guest-file-read reads so much by default, and 48 MiB at most (QEMU's qga/commands.c).
_DEFAULT_COUNT = 4096
_MAX_COUNT = 48 * 1024 * 1024

# The agent keeps so much of each stream of a program (GUEST_EXEC_MAX_OUTPUT in QEMU's qga/commands.c).
_MAX_CAPTURED = 16 * 1024 * 1024

# Other replies describe the guest. libvirt loses replies of more than 4 MiB, so that no command may rely on them. A
# guest's 30,000 memory blocks, which are the longest list that a real guest has, take 2 MiB and 120,000 values.
_MAX_DESCRIPTION = 4 * 1024 * 1024

# Agents have about 60 commands, and a command takes four values.
_INFO = {"line": 512 * 1024, "values": 8 * 1024}


def reply_limits(command: str, arguments: t.Mapping[str, t.Any], limits: Limits = DEFAULT_LIMITS) -> Limits:
    """Return the bounds for the reply to a command.

    :param arguments: the command's arguments.
    :param limits: the bounds for any reply, which the result does not exceed.
    """
    if command == "guest-file-read":
        count = arguments.get("count", _DEFAULT_COUNT)
        size = _base64_size(min(count, _MAX_COUNT) if isinstance(count, int) else _MAX_COUNT)
        return _narrowed(limits, line=size + _FRAME, values=limits.depth)
    if command == "guest-exec-status":
        return _narrowed(limits, line=2 * _base64_size(_MAX_CAPTURED) + _FRAME, values=limits.depth)
    if command == "guest-info":
        return _narrowed(limits, **_INFO)
    return _narrowed(limits, line=_MAX_DESCRIPTION, values=limits.values)


def _base64_size(size: int) -> int:
    return (max(0, size) + 2) // 3 * 4


def _narrowed(limits: Limits, *, line: int, values: int) -> Limits:
    return dataclasses.replace(limits, line=min(limits.line, line), values=min(limits.values, values))
