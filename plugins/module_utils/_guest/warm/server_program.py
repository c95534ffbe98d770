# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The warm server as one program, made of the files of the room :mod:`.program`."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.shell.python_program import python_program, with_call

_PACKAGE = f"{__name__.rpartition('.')[0]}.program"

# Each file uses those before it.
_FILES = ("payloads", "importer", "job", "environment", "server")


def server_program(name: str, bases: t.Sequence[str], limits: t.Mapping[str, float], first: str) -> bytes:
    """Return the program that starts a server in the background.

    :param name: the name of the server's directory.
    :param bases: the directories that this may be in.
    :param limits: ``idle`` and ``life`` in seconds, ``memory`` in bytes, and ``slots``, the number of jobs.
    :param first: the first job's message.
    """
    return with_call(python_program(_PACKAGE, _FILES), name, list(bases), dict(limits), first)
