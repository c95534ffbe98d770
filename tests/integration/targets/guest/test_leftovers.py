# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays that end before their tasks: what becomes of programs in the guest, and of their files."""

from __future__ import annotations

import os
import pathlib
import signal
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script, leftovers
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task, is_running, wait_for_program
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import build

TWO_HOURS = 7200
RAW: Task = {"ansible.builtin.raw": "true"}


@pytest.fixture(name="guest", scope="session")
def fixture_guest() -> t.Iterator[SandboxedAgent]:
    with SandboxedAgent(build("bookworm")) as sandbox:
        yield sandbox


@pytest.fixture(name="controller")
def fixture_controller(guest: SandboxedAgent, tmp_path: pathlib.Path) -> t.Iterator[Controller]:
    controller = Controller(tmp_path, guest.endpoint)
    yield controller
    # A worker that has outlived its play starts another one.
    wait_until(lambda: not controller.processes(), 30)


def inside(guest: SandboxedAgent, path: str) -> pathlib.Path:
    """Return a path of the guest as this machine sees it."""
    return pathlib.Path(f"/proc/{guest.pid}/root{path}")


def left(guest: SandboxedAgent) -> list[pathlib.Path]:
    """Return the files in the guest's directories for temporary files."""
    return [path for base in BASES for path in inside(guest, base).glob("netless-qga.*")]


def interrupt(controller: Controller, task: Task, command: str, number: signal.Signals) -> None:
    """Start a play, and send it a signal when its program runs, to all of its processes as a terminal does."""
    with controller.start(task, ansible_qga_persist=2) as play:
        wait_for_program(controller, command)
        os.killpg(play.pid, number)
        play.communicate(timeout=60)
    assert play.returncode != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_program_without_input_ends_with_the_play(
    controller: Controller, guest: SandboxedAgent, number: signal.Signals
) -> None:
    interrupt(controller, {"ansible.builtin.raw": "exec sleep 4711"}, "sleep 4711", number)
    wait_until(lambda: not is_running("sleep 4711"))
    wait_until(lambda: not left(guest))


def test_module_goes_on_when_the_play_ends(controller: Controller, guest: SandboxedAgent) -> None:
    task = {"ansible.builtin.shell": "sleep 6.4711; touch /root/went-on"}
    interrupt(controller, task, "sleep 6.4711", signal.SIGINT)
    assert is_running("sleep 6.4711")
    wait_until(inside(guest, "/root/went-on").exists)
    wait_until(lambda: any(path.suffix == ".state" and b"." in path.read_bytes() for path in left(guest)))
    files = left(guest)
    for path in files:
        os.utime(path, (time.time() - TWO_HOURS,) * 2)
    controller.run(RAW)
    wait_until(lambda: not left(guest))


def test_only_old_files_of_programs_that_have_ended_are_removed(controller: Controller, guest: SandboxedAgent) -> None:
    pipe, link, other, recent, old = (inside(guest, f"/tmp/netless-qga.{name}.state") for name in "plorw")
    os.mkfifo(pipe)
    os.lchown(pipe, 65534, 65534)
    link.symlink_to("/root/kept")
    inside(guest, "/root/kept").write_text("1\n", encoding="ascii")
    other.write_text("1\n", encoding="ascii")
    os.chown(other, 65534, 65534)
    for path in (recent, old):
        path.write_text("1\n", encoding="ascii")
    for path in (pipe, link, other, old):
        os.utime(path, (time.time() - TWO_HOURS,) * 2, follow_symlinks=False)
    try:
        controller.run(RAW)
        wait_until(lambda: not old.exists())
        assert pipe.is_fifo() and link.is_symlink() and other.exists() and recent.exists()
        assert inside(guest, "/root/kept").exists()
    finally:
        for path in (pipe, link, other, recent):
            path.unlink()


def test_files_of_a_program_that_runs_stay(guest: SandboxedAgent, agent: Agent, deadline: Deadline) -> None:
    def remove_leftovers() -> None:
        for path in left(guest):
            os.utime(path, (time.time() - TWO_HOURS,) * 2)
        guest_exec.run_script(agent, leftovers.REMOVE_LEFTOVERS, "another", deadline=deadline)

    script = launch_script.launch_script(f"{leftovers.new_prefix('play')}.1", ["sleep", "5.4711"])
    shell = ["/bin/sh", "-c", launch_script.LOADER]
    pid = guest_exec.start(agent, "setsid", shell, stdin=script, deadline=deadline)
    wait_until(lambda: is_running("sleep 5.4711"))
    remove_leftovers()
    assert {path.suffix for path in left(guest)} == {".room", ".state", ".out", ".err"}
    wait_until(lambda: guest_exec.status(agent, pid, deadline=deadline))
    remove_leftovers()
    assert not left(guest)
