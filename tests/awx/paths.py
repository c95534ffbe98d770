# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the collection and its files for AWX are."""

from __future__ import annotations

import pathlib
from typing import Any

import yaml

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
AWX = COLLECTION / "extensions" / "awx"
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))


def load(path: pathlib.Path) -> Any:
    """Return what a file of YAML contains."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
