# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the guest's root tree, with what the targets need: ``python3 -m tests.core_targets`` prints its path."""

from __future__ import annotations

from ..guests.trees import build
from .targets import PACKAGES, SUITE

if __name__ == "__main__":
    print(build(SUITE, PACKAGES))
