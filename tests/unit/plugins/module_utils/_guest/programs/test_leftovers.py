# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays that share a connection process, and their leftovers."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import leftovers


def test_no_play_replaces_the_call_of_another(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    monkeypatch.setattr(Agent, "at_end", lambda self, key, call: keys.append(key))
    for play in ("one", "two", "one"):
        leftovers.remove_at_end(agent, play)
    assert len(keys) == 3 and len(set(keys)) == 2
