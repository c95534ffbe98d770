# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contents of files, here or in the guest: where they come from, and whether two are the same."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

#: How much of a file is shown in a difference, in bytes; the same as in Ansible's own modules.
MAX_SHOWN = 104448

_PIECE = 1024 * 1024


@dataclass(frozen=True)
class ContentSummary:
    """What is known of contents that have been looked through.

    :param size: in bytes.
    :param checksum: the SHA-256.
    :param beginning: as much as is shown of them.
    :param cut: whether there was more, which was not looked at.
    """

    size: int
    checksum: str
    beginning: bytes
    cut: bool = False

    def same_as(self, other: ContentSummary | None) -> bool:
        """Whether the others are the same."""
        return other is not None and not self.cut and not other.cut and self.checksum == other.checksum


def summarize(chunks: t.Iterable[bytes], most: int | None = None) -> ContentSummary:
    """Look through contents.

    :param most: after how many bytes to stop, as a guest's file may have no end.
    """
    digest, size, beginning = hashlib.sha256(), 0, b""
    for piece in chunks:
        digest.update(piece)
        size += len(piece)
        if len(beginning) <= MAX_SHOWN:
            beginning += piece
        if most is not None and size > most:
            return ContentSummary(size, digest.hexdigest(), beginning, cut=True)
    return ContentSummary(size, digest.hexdigest(), beginning)


@dataclass(frozen=True)
class Source:
    """Contents on this side.

    :param data: the contents, if not those of a file.
    :param path: of a local file.
    """

    data: bytes = b""
    path: str = ""

    def chunks(self, size: int = _PIECE) -> t.Iterator[bytes]:
        """The contents, so many bytes at a time.

        :raises OSError: the local file cannot be read.
        """
        if self.path:
            with open(self.path, "rb") as file:
                yield from iter(lambda: file.read(size), b"")
        else:
            for start in range(0, len(self.data), size):
                yield self.data[start : start + size]


def difference(before: ContentSummary | None, after: ContentSummary, path: str) -> dict[str, t.Any]:
    """What Ansible shows of a change. There may be nothing yet, and what is large or no text is not shown."""
    shown: dict[str, t.Any] = {"before_header": path, "after_header": path, "before": ""}
    for side, name, found in (("before", "dst", before), ("after", "src", after)):
        if found is None:
            continue
        if found.cut or found.size > MAX_SHOWN:
            shown[f"{name}_larger"] = MAX_SHOWN
            continue
        try:
            shown[side] = found.beginning.decode("utf-8")
        except UnicodeDecodeError:
            shown[f"{name}_binary"] = 1
    return shown
