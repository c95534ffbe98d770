# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the results of several clients as the tables of the documentation."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .cases import CASES

COLUMNS = {
    "unix": "netless.qga, unix:PATH",
    "libvirt": "netless.qga, libvirt",
    "libvirt_qemu": "libvirt_qemu",
}
"""The clients that are compared, and their names in the tables."""


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables, as reStructuredText.

    :param results: the results by the keys of :data:`COLUMNS`.
    """
    columns = [column for column in COLUMNS if column in results]
    names = [COLUMNS[column] for column in columns]
    verdicts = [[case.what, *(_cell(results[column]["cases"].get(case.name)) for column in columns)] for case in CASES]
    observed = [
        [what, *(results[column]["synchronisation"][what] for column in columns)]
        for what in results[columns[0]]["synchronisation"]
    ]
    tables = (_list_table(["case", *names], verdicts), _list_table(["seen by the agent", *names], observed))
    return "\n".join(tables)


def _cell(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "not run"
    verdict, then = str(result["verdict"]), str(result["next_verdict"])
    return verdict if then == "right answer" else f"{verdict}; then {then}"


def _list_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        lines += [f"   {'* -' if index == 0 else '  -'} {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables of results that :mod:`.comparison` has kept."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("results", type=pathlib.Path, help="the directory")
    directory = parser.parse_args().results
    files = {column: directory / f"{column}.json" for column in COLUMNS}
    found = {column: json.loads(file.read_text(encoding="utf-8")) for column, file in files.items() if file.exists()}
    print(table(found))


if __name__ == "__main__":
    main()
