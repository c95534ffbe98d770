# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line appears each ten seconds, and at the end of a large file."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.plugin_utils.transfer_progress import TransferProgress

MIB = 1024 * 1024


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(steps: t.Sequence[tuple[float, int]], total: int | None = None) -> list[str]:
    """Return the lines for a file of which so many bytes are copied after so many seconds."""
    lines: list[str] = []
    clock = Clock()
    progress = TransferProgress("PUT disk", lines.append, total, clock)
    for seconds, copied in steps:
        clock.now = 100.0 + seconds
        progress.update(copied)
    progress.finish()
    return lines


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ([], []),
        ([(1, MIB)], []),
        ([(2, 16 * MIB)], ["PUT disk: 16.0 MiB in 2.0 s, 8.00 MiB/s"]),
        ([(0, 16 * MIB)], ["PUT disk: 16.0 MiB in 0.0 s, at once"]),
        (
            [(5, MIB), (10, 2 * MIB), (19, 3 * MIB), (20, 4 * MIB)],
            [
                "PUT disk: 2.0 MiB, 0.20 MiB/s",
                "PUT disk: 4.0 MiB, 0.20 MiB/s",
                "PUT disk: 4.0 MiB in 20.0 s, 0.20 MiB/s",
            ],
        ),
    ],
)
def test_lines(steps: list[tuple[float, int]], lines: list[str]) -> None:
    assert run(steps) == lines


def test_known_size_is_shown() -> None:
    assert run([(10, MIB)], total=40 * MIB)[0] == "PUT disk: 1.0 of 40.0 MiB, 0.10 MiB/s"
