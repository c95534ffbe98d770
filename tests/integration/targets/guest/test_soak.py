# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A short soak, and soaks in which something grows."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import build
from ansible_collections.netless.qga.tests.soak.soak import SAMPLES, Soak
from ansible_collections.netless.qga.tests.soak.usage import MAX_GROWTH_KIB, Usage, growth


@pytest.fixture(name="guest", scope="module")
def fixture_guest() -> t.Iterator[SandboxedAgent]:
    with SandboxedAgent(build("bookworm")) as sandbox:
        yield sandbox


def test_nothing_grows(guest: SandboxedAgent) -> None:
    with Soak(guest) as soak:
        soak.call(4000)
        assert soak.done == 4000 and len(soak.controller) == len(soak.agent) == SAMPLES
        assert growth(soak.controller) == [] and growth(soak.agent) == []
        soak.run_programs(SAMPLES)
        assert soak.done == SAMPLES
        assert growth(soak.controller) == [] and growth(soak.agent) == []


def test_leaks_are_noticed(guest: SandboxedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    call_all = Agent.call_all
    leaked: list[int] = []

    def leak(agent: Agent, *arguments: t.Any, **options: t.Any) -> list[t.Any]:
        leaked.append(os.open("/dev/null", os.O_RDONLY))
        pathlib.Path(f"/proc/{guest.pid}/root/tmp/leaked{len(leaked)}").touch()
        return call_all(agent, *arguments, **options)

    monkeypatch.setattr(Agent, "call_all", leak)
    with Soak(guest) as soak:
        soak.call(SAMPLES)
        for handle in leaked:
            os.close(handle)
        assert growth(soak.controller)[0].startswith("handles: ")
        assert growth(soak.agent)[0].startswith("files: ")


@pytest.mark.parametrize("name", ["memory", "handles", "processes", "files"])
def test_growth(name: str) -> None:
    first = Usage(memory=20_000, handles=10, processes=2, files=3)
    value = getattr(first, name)
    step = MAX_GROWTH_KIB if name == "memory" else 0
    grown = [dataclasses.replace(first, **{name: value + allowed}) for allowed in (step, step + 1)]
    assert growth([first] * 6 + [grown[0]] * 2) == []
    assert growth([first] * 6 + [grown[1]] * 2) == [f"{name}: {value} to {value + step + 1}"]
    # What grows during the warm-up does not count.
    assert growth([first] * 2 + [grown[1]] * 6) == []
