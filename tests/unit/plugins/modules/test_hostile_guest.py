# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that lies in every member of every reply: each module ends in time, with a result or an error to read."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.lying_agent import OTHER_KEY, Lie, LyingAgent, lies_about

from .conftest import Clock, RunModule
from .reporting_agent import REPLIES

MODULES: dict[str, dict[str, t.Any]] = {
    "authorized_keys": {"user": "root", "keys": [OTHER_KEY], "exclusive": True},
    "command": {"command": "guest-get-osinfo"},
    "diagnosis_info": {},
    "exec": {"argv": ["cat"], "exec_timeout": 5},
    "file": {"path": "/srv/there", "dest": "DEST"},
    "file_content_info": {"path": "/srv/there"},
    "fsfreeze": {"state": "frozen"},
    "fsfreeze_info": {},
    "fstrim": {},
    "guest_facts": {},
    "guest_info": {},
    "sync": {},
    "time": {"time": "2026-01-01T00:00:00+00:00"},
    "time_info": {},
    "user_password": {"user": "root", "password": "secret"},
    "vcpus": {"online": [0]},
    "vcpus_info": {},
}
SECONDS = 20.0
"""What one module may take with one lie. Most take some milliseconds."""


def options_of(module: str, tmp_path: pathlib.Path) -> dict[str, t.Any]:
    return {name: str(tmp_path / "dest") if value == "DEST" else value for name, value in MODULES[module].items()}


def check(result: dict[str, t.Any], seconds: float, lie: Lie) -> None:
    """Check what a module has returned."""
    assert seconds < SECONDS, (lie, seconds)
    json.dumps(result)
    message = result.get("msg", "")
    assert message.replace("\n", "").isprintable(), (lie, message)
    assert len(message) < 3000, (lie, len(message))
    assert "secret" not in message
    if result.get("failed"):
        assert message and result.get("error"), (lie, result)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_survives_every_lie(
    run_module: RunModule, clock: Clock, module: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.skips_sleep = True
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    agent = LyingAgent(REPLIES)
    honest = run_module(module, agent, **options_of(module, tmp_path))
    assert not honest.get("failed"), honest
    for lie in lies_about(agent.answered, module):
        agent.lie, agent.frozen = lie, False
        started = time.monotonic()
        result = run_module(module, agent, **options_of(module, tmp_path))
        check(result, time.monotonic() - started, lie)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"dest", f"netless-qga-{os.geteuid()}"}, left
