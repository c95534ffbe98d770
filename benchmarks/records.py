# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, a JSON text a line in the file ``$BENCHMARK_RECORDS``, written by the processes of Ansible's."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

#: What all records of this process have in common.
context: dict[str, t.Any] = {}


def record(members: dict[str, t.Any]) -> None:
    """Appends a record."""
    line = json.dumps({**context, **members}).encode() + b"\n"
    file = os.open(os.environ["BENCHMARK_RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read(path: Path) -> list[dict[str, t.Any]]:
    """All records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
