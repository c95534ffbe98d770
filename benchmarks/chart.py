# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

from .connections import Connection
from .figures import Series

mpl.use("Agg")

_OURS = ("#0b4f6c", "#1b85a5", "#6fc3d6")
_PEERS = ("#d97b29", "#8a8a8a")
_HEIGHT = 0.16


def draw(found: Sequence[Series], connections: Sequence[Connection], file: Path) -> None:
    """Draw two charts, one of seconds and one of MiB/s, into a PNG file."""
    units = {"s": "seconds, less is better", "MiB/s": "MiB/s, more is better"}
    shares = [sum(series.unit == unit for series in found) for unit in units]
    figure, areas = pyplot.subplots(
        2, 1, figsize=(9, 0.95 * sum(shares) + 1.5), height_ratios=shares, layout="constrained"
    )
    for area, (unit, title) in zip(areas, units.items()):
        _bars(area, [series for series in found if series.unit == unit], connections)
        area.set_title(title, loc="left", fontsize=10)
    areas[0].legend(fontsize=9, frameon=False)
    # Without the version of the software, which would make each file different.
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _bars(area: Axes, found: Sequence[Series], connections: Sequence[Connection]) -> None:
    ours, peers = iter(_OURS), iter(_PEERS)
    for index, connection in enumerate(connections):
        places = [place + (index - (len(connections) - 1) / 2) * _HEIGHT for place in range(len(found))]
        medians = [series.median(connection) for series in found]
        label = f"netless.qga, {connection.label}" if connection.ours else connection.label
        bars = area.barh(places, medians, _HEIGHT * 0.9, label=label, color=next(ours if connection.ours else peers))
        area.bar_label(bars, fmt="%.2f", padding=3, fontsize=7)
    area.set_yticks(range(len(found)), [series.name for series in found], fontsize=9)
    area.invert_yaxis()
    area.margins(x=0.08)
    area.spines[["top", "right"]].set_visible(False)
