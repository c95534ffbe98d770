# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contents of files, local or in the guest: where they come from, and whether two of them are equal."""

from __future__ import annotations

import base64
import hashlib
import typing as t
from dataclasses import dataclass

#: How much of a file a diff shows, in bytes; the same as in Ansible's own modules.
MAX_SHOWN = 104448

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class ContentSummary:
    """What is kept of contents that were read once.

    :param size: how many bytes were read.
    :param checksum: their SHA-256, in hexadecimal digits.
    :param beginning: the first bytes, at least as many as a diff shows.
    :param cut: whether there was more, which was not read.
    """

    size: int
    checksum: str
    beginning: bytes
    cut: bool = False

    def same_as(self, other: ContentSummary | None) -> bool:
        """Return whether the other contents are equal. Contents that were not read to their end never are."""
        return other is not None and not self.cut and not other.cut and self.checksum == other.checksum


def summarize(chunks: t.Iterable[bytes], max_size: int | None = None) -> ContentSummary:
    """Read contents and return their summary.

    :param max_size: after how many bytes to stop reading, since a file in the guest may be endless.
    """
    digest, size, beginning = hashlib.sha256(), 0, b""
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if len(beginning) <= MAX_SHOWN:
            beginning += chunk
        if max_size is not None and size > max_size:
            return ContentSummary(size, digest.hexdigest(), beginning, cut=True)
    return ContentSummary(size, digest.hexdigest(), beginning)


@dataclass(frozen=True)
class FileContent:
    """The whole contents of a file.

    :param data: the contents.
    :param summary: their size and checksum.
    """

    data: bytes
    summary: ContentSummary

    def as_result(self) -> dict[str, t.Any]:
        """Return the contents as a part of a module's result: as text if they are UTF-8, otherwise in base64."""
        result: dict[str, t.Any] = {"checksum": self.summary.checksum, "size": self.summary.size}
        try:
            result["content"] = self.data.decode("utf-8")
        except UnicodeDecodeError:
            result["content_base64"] = base64.b64encode(self.data).decode("ascii")
        return result


@dataclass(frozen=True)
class Source:
    """Contents that go into the guest.

    :param data: the contents, unless they are those of a file.
    :param path: the local file that has them.
    """

    data: bytes = b""
    path: str = ""

    def chunks(self, size: int = _CHUNK) -> t.Iterator[bytes]:
        """Yield the contents, at most ``size`` bytes at a time.

        :raises OSError: the local file cannot be read.
        """
        if self.path:
            with open(self.path, "rb") as file:
                yield from iter(lambda: file.read(size), b"")
        else:
            for start in range(0, len(self.data), size):
                yield self.data[start : start + size]
