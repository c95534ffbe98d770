# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures what it costs to receive, and shows that the cost grows only with the number of bytes.

``python3 benchmarks/framing.py``. Each row is the median of some runs. The last column compares it with another row,
in seconds for each byte: near 1 where the cost is linear. It needs only the standard library.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024
RUNS = 5


@contextlib.contextmanager
def collection_to_import() -> Iterator[str]:
    """Make the collection importable by its name, wherever it is checked out, and yield the directory to look in."""
    with tempfile.TemporaryDirectory() as directory:
        namespace = Path(directory, "ansible_collections", "netless")
        namespace.mkdir(parents=True)
        (namespace / "qga").symlink_to(Path(__file__).resolve().parent.parent)
        sys.path.insert(0, directory)
        try:
            yield directory
        finally:
            sys.path.remove(directory)


def reply(size: int) -> bytes:
    """Return a reply of that many bytes, like one to guest-file-read."""
    head, tail = b'{"return": {"count": 1, "eof": false, "buf-b64": "', b'"}, "id": 1}\n'
    return head + b"A" * (size - len(head) - len(tail)) + tail


def fill(unit: bytes, size: int) -> bytes:
    """Return that many bytes, which repeat the unit."""
    return (unit * (size // len(unit) + 1))[:size]


class Measurements:
    """The table, whose rows are printed as they are measured.

    :param session_class: the class that is measured.
    """

    def __init__(self, session_class: t.Any) -> None:
        self._session_class = session_class
        self._seconds_per_byte: dict[str, float] = {}

    def measure(self, name: str, data: bytes, piece: int, *, waiting: bool = True, compared_with: str = "") -> None:
        """Feed the data in pieces to a session that waits for an answer, or else for the reply to its sync."""
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        seconds = statistics.median(self._run(pieces, waiting) for dummy in range(RUNS))
        self._seconds_per_byte[name] = seconds / len(data)
        ratio = ""
        if compared_with:
            ratio = f"{self._seconds_per_byte[name] / self._seconds_per_byte[compared_with]:5.2f} × {compared_with}"
        print(
            f"{name:50} {seconds * 1000:7.1f} ms {len(data) / MIB / seconds:7.1f} MiB/s   {ratio}".rstrip(), flush=True
        )

    def _run(self, pieces: list[bytes], waiting: bool) -> float:
        session = self._make(waiting)
        started = time.perf_counter()
        for piece in pieces:
            session.receive_data(piece)
            while session.next_event():
                pass
        return time.perf_counter() - started

    def _make(self, waiting: bool) -> t.Any:
        ids = itertools.chain([0], itertools.count(2**62))
        session = self._session_class(random_id=lambda: next(ids))
        session.sync()
        if waiting:
            session.receive_data(b'\xff{"return": %d, "id": %d}\n' % (2**62, 2**62))
            session.next_event()
            session.send(session.prepare("guest-file-read"))
        return session


def run() -> None:
    """Measure, and print the table."""
    from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session

    table = Measurements(Session)
    large = reply(64 * MIB)
    table.measure("reply of 64 MiB, whole", large, len(large))
    for size in (4096, 65536):
        table.measure(f"reply of 64 MiB, {size} at a time", large, size, compared_with="reply of 64 MiB, whole")
    del large
    for size in (16, 32, 64):
        compared_with = "reply of 16 MiB" if size > 16 else ""
        table.measure(f"reply of {size} MiB", reply(size * MIB), 4096, compared_with=compared_with)
    floods = {
        "short lines in a sync": (b"{}\n", False),
        "blank lines": (b"\n", True),
        "replies to others": (b'{"event": "X"}\n', True),
        "0xFF in a sync": (b"\xff", False),
        "0xFF": (b"\xff", True),
        "lines cut by 0xFF": (b"ab\xff", True),
    }
    for name, (unit, waiting) in floods.items():
        # The collection reads at most 256 KiB at a time.
        table.measure(f"64 KiB of {name}", fill(unit, MIB // 16), MIB // 16, waiting=waiting)
        for piece, how in ((MIB // 4, ""), (4096, ", 4096 at a time")):
            table.measure(
                f"256 KiB of {name}{how}",
                fill(unit, MIB // 4),
                piece,
                waiting=waiting,
                compared_with=f"64 KiB of {name}",
            )


if __name__ == "__main__":
    with collection_to_import():
        run()
