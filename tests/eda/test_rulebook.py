# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source in a real ansible-rulebook, with real agents. Needs root, to make guests, and a Java runtime."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shutil
import time

import pytest

from ansible_collections.netless.qga.tests.guests import trees
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .rulebook_run import RulebookRun

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs java: apt-get install default-jre-headless"),
]

QUICK = {"interval": 0.2, "timeout": 5, "frozen_for": 0.5}
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        dest: "{{ report }}"
        content: "{{ ansible_eda.event.agent | to_json }}"
        mode: "0600"
"""


def test_real_agent_is_killed_and_started(tmp_path: pathlib.Path) -> None:
    (tmp_path / "report.yml").write_text(PLAYBOOK, encoding="utf-8")
    report = tmp_path / "report.json"
    rule = {
        "name": "Report an agent that was up",
        "condition": 'event.agent.event == "down" and event.agent.first == false',
        "action": {
            "run_playbook": {"name": str(tmp_path / "report.yml"), "extra_vars": {"report": str(report)}},
        },
    }
    with SandboxedAgent(trees.build("bookworm")) as agent:
        source = {**QUICK, "hosts": [{"name": "web1", "endpoint": agent.endpoint}]}
        with RulebookRun(tmp_path, source, [rule]) as run:
            assert run.next_event() == "up web1 -"
            agent.kill_agent()
            assert run.next_event() == "down web1 -"
            agent.start_agent()
            # The kernel is the same.
            assert run.next_event() == "up web1 False"
            deadline = time.monotonic() + 120
            while not report.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            assert report.exists(), run.output
            reported = json.loads(report.read_text(encoding="utf-8"))
            run.stop()
    assert {name: reported[name] for name in ("event", "host", "endpoint", "first")} == {
        "event": "down",
        "host": "web1",
        "endpoint": agent.endpoint,
        "first": False,
    }
    assert agent.socket_path in reported["message"]
    assert "Traceback" not in run.output, run.output


class Guest(ScriptedAgent):
    """An agent that reports a boot, which the test can change."""

    def __init__(self) -> None:
        super().__init__()
        self.boot = 1
        self.handlers["guest-file-open"] = lambda arguments: 1
        self.handlers["guest-file-close"] = lambda arguments: {}
        self.handlers["guest-file-read"] = lambda arguments: self._read()

    def _read(self) -> dict[str, object]:
        content = f"{self.boot:08d}-0000-0000-0000-000000000000\n".encode()
        return {"count": len(content), "buf-b64": base64.b64encode(content).decode(), "eof": True}


def test_reboot_and_freeze_next_to_an_agent_that_hangs(tmp_path: pathlib.Path) -> None:
    guest, hanging = Guest(), ScriptedAgent()
    hanging.silent = True
    with contextlib.ExitStack() as stack:
        endpoint, other = (f"unix:{stack.enter_context(agent.listening())}" for agent in (guest, hanging))
        hosts = [{"name": "web1", "endpoint": endpoint}, {"name": "hanging", "endpoint": other}]
        run = stack.enter_context(RulebookRun(tmp_path, {**QUICK, "timeout": 300, "hosts": hosts}, []))
        assert run.next_event() == "up web1 -"
        guest.boot = 2
        assert run.next_event() == "rebooted web1 -"
        guest.frozen = True
        assert run.next_event() == "frozen web1 -"
        guest.frozen = False
        assert run.next_event() == "thawed web1 -"
        run.stop()
    assert "Traceback" not in run.output, run.output


def test_invalid_options_end_the_run(tmp_path: pathlib.Path) -> None:
    message = "'nonsense' is not an endpoint of a guest agent"
    with RulebookRun(tmp_path, {"endpoints": ["nonsense"]}, []) as run, pytest.raises(AssertionError, match=message):
        run.next_event()
