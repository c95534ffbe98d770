# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of what was measured: a line of JSON each, in the file ``$BENCHMARK_RECORDS``.

Ansible's processes write them, all to one file.
"""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

context: dict[str, t.Any] = {}
"""Members of all records of this process."""


def record(members: dict[str, t.Any]) -> None:
    """Append a record."""
    line = json.dumps({**context, **members}).encode() + b"\n"
    file = os.open(os.environ["BENCHMARK_RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read(path: Path) -> list[dict[str, t.Any]]:
    """Return all records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
