# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays whose tasks share one connection process."""

from __future__ import annotations

import os
import pathlib
import shlex
import signal
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.connection_processes import end_all, wait_until
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task, wait_for_program
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent
from ansible_collections.netless.qga.tests.guests.trees import build

PING: Task = {"ansible.builtin.ping": {}}
MODULES: list[Task] = [
    PING,
    {"ansible.builtin.command": "hostname"},
    {"netless.qga.sync": {}},
    {"netless.qga.guest_info": {}},
]


@pytest.fixture(name="guest", scope="session")
def fixture_guest() -> t.Iterator[SandboxedAgent]:
    """Provide one guest: the process is on the controller, where the suite does not matter."""
    with SandboxedAgent(build("bookworm")) as sandbox:
        yield sandbox


@pytest.fixture(name="controller")
def fixture_controller(guest: SandboxedAgent, tmp_path: pathlib.Path) -> t.Iterator[Controller]:
    yield Controller(tmp_path, guest.endpoint)
    end_all(tmp_path)


def test_tasks_and_modules_of_two_plays_share_a_process(controller: Controller) -> None:
    controller.run(*MODULES, ansible_qga_persist=30)
    (pid,) = controller.processes()
    controller.run(*MODULES, ansible_qga_persist=30)
    assert controller.processes() == [pid]


def test_program_as_endpoint_is_started_once(
    controller: Controller, guest: SandboxedAgent, tmp_path: pathlib.Path
) -> None:
    relay = tmp_path / "relay"
    relay.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\nexec socat - UNIX-CONNECT:{guest.socket_path}\n")
    relay.chmod(0o755)
    controller.run(*MODULES, *MODULES, ansible_qga_endpoint=f"exec:{shlex.quote(str(relay))}")
    assert (tmp_path / "starts").read_text(encoding="ascii") == "started\n"
    assert len(controller.processes()) == 1


def test_nothing_is_left_after_the_idle_time(controller: Controller) -> None:
    controller.run(PING, ansible_qga_persist=1)
    wait_until(lambda: not controller.processes())
    assert controller.sockets() == []


def test_usual_idle_time_is_short(controller: Controller) -> None:
    controller.run(PING)
    assert len(controller.processes()) == 1
    wait_until(lambda: not controller.processes())


def test_persist_0_starts_no_process(controller: Controller) -> None:
    controller.run(*MODULES, ansible_qga_persist=0)
    assert controller.processes() == [] and controller.sockets() == []


def test_play_without_a_process_gets_the_channel_at_once(controller: Controller) -> None:
    controller.run(PING, ansible_qga_persist=60)
    assert len(controller.processes()) == 1
    controller.run(PING, ansible_qga_persist=0, ansible_timeout=10)


def test_reset_closes_the_channel_of_the_process(controller: Controller, guest: SandboxedAgent) -> None:
    def has_channel(pid: int) -> bool:
        # Sockets are the listening one, the agent's, and those of tasks, of which there are none now.
        links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        return sum(link.startswith("socket:") for link in links) > 1

    controller.run(PING, ansible_qga_persist=60)
    (pid,) = controller.processes()
    assert has_channel(pid)
    controller.run({"ansible.builtin.meta": "reset_connection"}, ansible_qga_persist=60)
    assert controller.processes() == [pid] and not has_channel(pid)
    controller.run(PING, {"ansible.builtin.wait_for_connection": {"timeout": 20}}, ansible_qga_persist=60)
    assert has_channel(pid)


def test_restarted_agent_is_reached_by_the_next_play(controller: Controller, guest: SandboxedAgent) -> None:
    controller.run(PING, ansible_qga_persist=60)
    guest.kill_agent()
    # The process that keeps the channel may connect first: it has a last call to make when it notices the play's end.
    guest.start_agent(is_shared=True)
    controller.run(PING, ansible_qga_persist=60)
    assert len(controller.processes()) == 1


def test_interrupted_play_leaves_a_process_that_serves_the_next(controller: Controller) -> None:
    controller.run(PING, ansible_qga_persist=60)
    (pid,) = controller.processes()
    with controller.start({"ansible.builtin.raw": "sleep 30"}, ansible_qga_persist=60) as play:
        wait_for_program(controller, "sleep 30")
        # As the terminal does, for the whole process group.
        os.killpg(play.pid, signal.SIGINT)
        play.communicate(timeout=60)
    assert play.returncode != 0
    controller.run(*MODULES, ansible_qga_persist=60)
    assert controller.processes() == [pid]


def test_program_goes_on_when_the_process_is_killed_between_two_questions(controller: Controller) -> None:
    tasks: list[Task] = [
        {"ansible.builtin.raw": "sleep 6; echo slept {{ 'well' }}", "register": "slept"},
        {"ansible.builtin.debug": {"var": "slept.stdout"}},
    ]
    with controller.start(*tasks, ansible_qga_persist=60) as play:
        wait_for_program(controller, "sleep 6")
        (pid,) = controller.processes()
        os.kill(pid, signal.SIGKILL)
        output = play.communicate(timeout=120)[0]
    assert play.returncode == 0 and "slept well" in output, output
    assert len(controller.processes()) == 1 and pid not in controller.processes()


def test_task_ends_with_the_truth_when_the_process_is_killed_during_a_command(tmp_path: pathlib.Path) -> None:
    agent = ScriptedAgent()
    entered, ended = threading.Event(), threading.Event()

    def start_no_program(arguments: t.Mapping[str, t.Any]) -> t.Any:
        entered.set()
        assert ended.wait(60)
        return {"pid": 1}

    agent.handlers["guest-exec"] = start_no_program
    tasks: list[Task] = [
        {"ansible.builtin.raw": "true", "ignore_unreachable": True, "register": "cut"},
        {"netless.qga.command": {"command": "guest-ping"}},
        {"ansible.builtin.assert": {"that": ["cut is unreachable", "'the answer to guest-exec is lost' in cut.msg"]}},
    ]
    with agent.listening() as path:
        controller = Controller(tmp_path, f"unix:{path}")
        with controller.start(*tasks) as play:
            assert entered.wait(60)
            found = controller.processes()
            assert len(found) == 1
            os.kill(found[0], signal.SIGKILL)
            ended.set()
            output = play.communicate(timeout=120)[0]
        end_all(tmp_path)
    assert play.returncode == 0, output
    assert "the connection process on the controller ended before the answer came" in output
    # Another program may remove files, but the first one is not started again.
    started = [request["arguments"] for request in agent.requests if request.get("execute") == "guest-exec"]
    assert started.count(started[0]) == 1
