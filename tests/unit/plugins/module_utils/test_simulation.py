# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulations of a few seeds hold, and a seed decides everything."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.tests.simulation.simulation import Simulation


@pytest.mark.parametrize("seed", range(8))
def test_simulation_holds(seed: int) -> None:
    Simulation(seed).run()


@pytest.mark.parametrize("seed", [2, 7])
def test_seed_replays_alone(seed: int) -> None:
    first, second = Simulation(seed), Simulation(seed)
    second.run()
    Simulation(seed + 1).run()
    first.run()
    assert first.history == second.history and len(first.history) > 100
