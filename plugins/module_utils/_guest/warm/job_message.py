# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages to the warm server: a job with all that the guest lacks for it, as a line of JSON.

==============  ======================================================================================================
``slot``        the number of the job, from 1; the server has files for so many
``nonce``       a random text that no other job has
``wrapper``     the name of the wrapper
``line``        how many lines the wrapper has
``zip``         the name of the zip
``before``      the call of the wrapper up to the zip
``after``       the call after the zip
``wrappers``    wrappers by name
``zips``        zips by name, without their members: what stands between the members, and what the members are
``members``     members of zips by name, in base64
==============  ======================================================================================================

The message ``"end"`` ends the server. A line break comes before a message, too. It ends what an interrupted writer may
have left, as 0xFF does for the agent's own parser.
"""

from __future__ import annotations

import base64
import json
import typing as t
import zlib

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.payload import Archive, Payload, parse_archive


class JobMessage:
    """The message of one job.

    :param payload: the payload to run.
    :param slot: the number of the job.
    :param nonce: a random text.
    :param sent: the names of all that the guest has: wrappers, zips and members.
    :raises ValueError: the payload's zip is not one that can be sent in parts.
    """

    def __init__(self, payload: Payload, slot: int, nonce: str, sent: t.Collection[str]) -> None:
        #: The names of what the message brings.
        self.brings: set[str] = set()
        self._sent = sent
        self._fields: dict[str, t.Any] = {
            "slot": slot,
            "nonce": nonce,
            "wrapper": payload.wrapper_name,
            "line": payload.wrapper.count("\n"),
            "zip": payload.zip_name,
            "before": payload.before,
            "after": payload.after,
        }
        if self._is_new(payload.wrapper_name):
            self._fields["wrappers"] = {payload.wrapper_name: payload.wrapper}
        if self._is_new(payload.zip_name):
            archive = parse_archive(payload.zip_data)
            if archive is None:
                raise ValueError("a zip of an unknown kind")
            self._fields["zips"] = {payload.zip_name: _layout(archive)}
            self._fields["members"] = {
                member.name: base64.b64encode(member.data).decode("ascii")
                for member in archive.members
                if self._is_new(member.name)
            }

    def as_text(self) -> str:
        """Return the message without the line breaks around it."""
        return json.dumps(self._fields)

    def as_line(self) -> bytes:
        """Return what is written into the FIFO."""
        return f"\n{self.as_text()}\n".encode("ascii")

    def _is_new(self, name: str) -> bool:
        if name in self._sent or name in self.brings:
            return False
        self.brings.add(name)
        return True


def _layout(archive: Archive) -> str:
    between = b"".join(member.between for member in archive.members) + archive.rest
    layout = {
        "between": base64.b64encode(between).decode("ascii"),
        "parts": [[len(member.between), member.name, member.path, member.is_deflated] for member in archive.members],
    }
    return base64.b64encode(zlib.compress(json.dumps(layout).encode("ascii"))).decode("ascii")
