# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's own shell scripts, as far as a model guest has to understand them."""

from __future__ import annotations

import gzip
import typing as t
from dataclasses import dataclass

from .model_files import File

if t.TYPE_CHECKING:
    from .model_guest import ModelGuest

_BASE = "/dev/shm"

_UNPACK = 'gzip -dc <"$1" >>"$2"'
_TRUNCATE = ': >"$2"||exit;'
_REMOVE = '&&rm -f "$1"'


@dataclass(frozen=True)
class Ended:
    """How a program has ended: its exit status, or the negative number of a signal, and what the agent captured."""

    rc: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


def output_of(token: str, size: int) -> bytes:
    """Return what the program ``count`` writes: bytes that show at any place which program they are from."""
    return (f"{token}." * (size // len(token) + 1)).encode()[: max(1, size)]


def run_script(guest: ModelGuest, script: str, arguments: list[str]) -> Ended:
    """Do what a script does.

    :raises AssertionError: the script is none of those that the model understands.
    """
    files = guest.memory.files
    if 'kill -TERM "-$1"' in script:
        guest.memory.programs.kill(guest, int(arguments[0]))
        guest.memory.servers.kill_job(guest, int(arguments[0]))
        return Ended()
    if '"end"' in script:
        guest.memory.servers.end(guest, arguments[0])
        return Ended()
    if script == '[ -e "$1" ]':
        return Ended(int(arguments[0] not in files.files))
    if _UNPACK in script:
        return _unpack(guest, script, *arguments)
    if script == 'umask 077;: >>"$1"':
        files.files.setdefault(arguments[0], File())
        return Ended()
    if '"$b/$1.in"' in script:
        files.replace(f"{_BASE}/{arguments[0]}.in", b"")
        return Ended(0, f"{_BASE}\n".encode())
    if '"$b/$2"' in script:
        if not guest.kind.gzip:
            return Ended(0, b"no gzip\n")
        files.files.setdefault(arguments[0], File())
        files.replace(f"{_BASE}/{arguments[1]}", b"")
        return Ended(0, f"{_BASE}\n".encode())
    raise AssertionError(f"a script that the model does not understand: {script}")


def _unpack(guest: ModelGuest, script: str, compressed: str, target: str) -> Ended:
    files = guest.memory.files
    if script.startswith(_TRUNCATE):
        files.replace(target, b"")
    packed = files.content(compressed)
    try:
        if packed is None:
            raise EOFError
        data = gzip.decompress(packed)
    except (EOFError, OSError):
        return Ended(1, b"", b"gzip: unexpected end of file\n")
    files.files.setdefault(target, File()).data += data
    if script.endswith(_REMOVE):
        files.files.pop(compressed, None)
    return Ended()
