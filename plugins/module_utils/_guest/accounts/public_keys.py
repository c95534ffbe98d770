# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Public ssh keys as a user writes them, and as a file of keys has them."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# A field of a line: options come before the key, and have blanks in quotes.
_FIELD = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+')


def parse_keys(texts: t.Iterable[str]) -> list[str]:
    """Return the lines with keys in texts from a user, and check each of them. The agent checks none.

    :raises InvalidRequest: there is no line, or one without a key. The message does not quote the line, which may be a
        private key.
    """
    lines = key_lines(texts)
    if not lines:
        raise InvalidRequest(
            "there is no key among the keys. Nothing was done, so that nobody is locked out by mistake"
        )
    for number, line in enumerate(lines, 1):
        if key_of(line) is None:
            raise InvalidRequest(
                f"line {number} of the keys has no public key in it, as in a .pub file: options if there are any, its "
                f"type, the key in base64, and a comment. Options that have a comma have to be in a list"
            )
    return lines


def key_lines(texts: t.Iterable[str]) -> list[str]:
    """Return the lines of texts, without empty lines and comments."""
    lines = (line.strip() for text in texts for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def key_of(line: str) -> str | None:
    """Return the key in a line, without its options and comment; None if there is none."""
    fields = _FIELD.findall(line)
    for kind, blob in zip(fields[:2], fields[1:3]):
        try:
            data = base64.b64decode(blob, validate=True)
        except (binascii.Error, ValueError):
            continue
        # A public key contains the name of its type (RFC 4253, 6.6).
        if data.startswith(struct.pack(">I", len(kind)) + kind.encode("utf-8", errors="replace")):
            return f"{kind} {blob}"
    return None
