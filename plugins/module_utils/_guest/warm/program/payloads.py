# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guest has of AnsiballZ payloads: the members of their zips, compiled, and the wrappers around the zips."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import types
import typing as t
import zlib


class Payloads:
    """The parts of payloads that the client has sent, by the names that it gave them (:mod:`.job_message`).

    :param root: the path that tracebacks show for the zip.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        #: The wrappers, compiled.
        self.wrappers: dict[str, types.CodeType] = {}
        #: The members of each zip: their names by their paths.
        self.paths: dict[str, dict[str, str]] = {}
        #: The compiled members, by name and path.
        self.codes: dict[tuple[str, str], types.CodeType] = {}
        # The members as the zips have them, and whether they are deflated.
        self._members: dict[str, tuple[bytes, bool]] = {}
        # The pieces that make up each zip. Zips share their members.
        self._pieces: dict[str, list[bytes]] = {}

    def add(self, message: dict[str, t.Any]) -> None:
        """Take what a message brings.

        :raises KeyError: it refers to something that the guest does not have.
        :raises ValueError: it is damaged.
        """
        for name, text in message.get("wrappers", {}).items():
            self.wrappers[name] = compile_source(text, "<stdin>")
        for name, layout in message.get("zips", {}).items():
            self._add_zip(name, json.loads(_unpack(layout)), message.get("members", {}))

    def has(self, wrapper: str, archive: str) -> bool:
        """Return whether the guest has a wrapper and a zip."""
        return wrapper in self.wrappers and archive in self.paths

    def zip_data(self, name: str) -> str:
        """Return a zip in base64."""
        return base64.b64encode(b"".join(self._pieces[name])).decode("ascii")

    def source(self, member: str) -> bytes:
        """Return the contents of a member."""
        data, is_deflated = self._members[member]
        return zlib.decompress(data, -zlib.MAX_WBITS) if is_deflated else data

    def _add_zip(self, name: str, layout: dict[str, t.Any], members: dict[str, str]) -> None:
        between, position = base64.b64decode(layout["between"]), 0
        pieces: list[bytes] = []
        paths: dict[str, str] = {}
        for size, member, path, is_deflated in layout["parts"]:
            if member not in self._members:
                data = base64.b64decode(members[member])
                if not hashlib.sha256(data).hexdigest().startswith(member):
                    raise ValueError("a member is not the one that was sent")
                self._members[member] = data, is_deflated
            pieces += [between[position : position + size], self._members[member][0]]
            position += size
            paths[path] = member
        pieces.append(between[position:])
        if hashlib.sha256(base64.b64encode(b"".join(pieces))).hexdigest() != name:
            raise ValueError("the zip is not the one that was sent")
        for path, member in paths.items():
            self._compile(member, path)
        self._pieces[name], self.paths[name] = pieces, paths

    def _compile(self, member: str, path: str) -> None:
        if path.endswith(".py") and (member, path) not in self.codes:
            # Code for another Python is left to the job that imports it, and gets the error.
            with contextlib.suppress(SyntaxError):
                self.codes[member, path] = compile_source(self.source(member), f"{self.root}/{path}")


def compile_source(source: str | bytes, filename: str) -> types.CodeType:
    """Compile a module without the settings of this file."""
    return compile(source, filename, "exec", dont_inherit=True)


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
