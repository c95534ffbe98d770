# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the integration test targets, which the plan starts and the results count."""

from __future__ import annotations

from pathlib import Path

_TARGETS = Path(__file__).resolve().parent.parent / "tests" / "integration" / "targets"


def targets() -> set[str]:
    """Return the names of the targets that can be run, without those that only other targets use."""
    aliases = {path.parent.name: set(path.read_text().split()) for path in _TARGETS.glob("*/aliases")}
    names = {path.name for path in _TARGETS.glob("*") if path.is_dir()}
    return {name for name in names if not {"hidden", "disabled"} & aliases.get(name, set())}


def vm_targets() -> set[str]:
    """Return the names of the targets that need virtual machines."""
    return {path.name for path in _TARGETS.glob("vm_*")}
