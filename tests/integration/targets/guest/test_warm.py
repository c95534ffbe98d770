# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Warm servers in the guests of real agents: who owns what, what survives, and what is left at the end."""

from __future__ import annotations

import pathlib
import re
import shlex
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import end_servers
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import SUITES, build
from ansible_collections.netless.qga.tests.guests.warm_guest import PYTHON, WarmGuest, ansiballz, command

AS_NOBODY = "sudo -H -S -n -u nobody /bin/sh -c " + shlex.quote(f"echo BECOME-SUCCESS-abc ; {PYTHON}")


@pytest.fixture(name="guest", scope="session", params=(SUITES[0], SUITES[-1]))
def fixture_guest(request: pytest.FixtureRequest) -> t.Iterator[SandboxedAgent]:
    """Provide a guest of the oldest and of the newest suite, in which no other test leaves anything."""
    with SandboxedAgent(build(request.param)) as sandbox:
        yield sandbox


@pytest.fixture
def warm(guest: SandboxedAgent, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[WarmGuest]:
    """Provide a guest, and check that nothing is left in it at the end."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(warm_runner, "LINGER", 2)
    warm = WarmGuest(guest)
    try:
        yield warm
        end_servers(guest.endpoint, warm.agent)
        warm.wait_until_nothing_is_left()
    finally:
        warm.programs.close()
        warm.agent.close()


def test_modules_run_in_one_server(warm: WarmGuest) -> None:
    assert warm.result(ansiballz("ping"))["ping"] == "pong"
    assert warm.result(command("id -un"))["stdout"] == "root"
    assert warm.result(ansiballz("setup"))["ansible_facts"]["ansible_python"]["executable"] == PYTHON
    assert warm.shell("ls -d /dev/shm/netless-qga.*.warm").count("\n") == 1


def test_module_of_another_user_cannot_change_the_directory(warm: WarmGuest) -> None:
    assert warm.result(command("id -un"), AS_NOBODY)["stdout"] == "nobody"
    directory = warm.shell("echo /dev/shm/netless-qga.*.warm").strip()
    attempts = f"mv {directory}/2.out {directory}/x; rm {directory}/3.state; ls {directory}; touch {directory}/y; :"
    result = warm.result(command(attempts), AS_NOBODY)
    assert result["stdout"] == "" and len(result["stderr"].splitlines()) == 4
    owners = warm.shell(f"cd {directory}; stat -c '%U %a' . jobs 1.state 2.out keeper").splitlines()
    assert owners == ["root 711", "nobody 600", "nobody 600", "nobody 600", "root 600"]


def test_agent_of_an_ordinary_user_keeps_no_server_of_another(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with SandboxedAgent(build(SUITES[0]), run_as="games") as sandbox:
        warm = WarmGuest(sandbox)
        assert warm.result(command("id -un"))["stdout"] == "games"
        assert warm.run(ansiballz("ping"), AS_NOBODY.replace("-u nobody", "-u daemon")) is None
        end_servers(sandbox.endpoint, warm.agent)
        warm.wait_until_nothing_is_left()
        warm.agent.close()


def test_job_survives_the_restart_of_its_agent(warm: WarmGuest) -> None:
    assert warm.result(ansiballz("ping"))["ping"] == "pong"

    def restart() -> None:
        time.sleep(1)
        warm.sandbox.kill_agent()
        warm.sandbox.start_agent(is_shared=True)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        assert warm.result(command("sleep 3; echo done"))["stdout"] == "done"
    finally:
        thread.join()
    assert warm.result(ansiballz("ping"))["ping"] == "pong"


def test_module_that_takes_too_long_is_killed_with_its_children(warm: WarmGuest) -> None:
    assert warm.result(ansiballz("ping"))["ping"] == "pong"
    with pytest.raises(Exception, match="was still running after"):
        warm.run(command("sleep 4321"), seconds=3)
    assert warm.shell("grep -l '[4]321' /proc/[0-9]*/cmdline; :") == ""


def test_changed_group_is_that_of_the_next_module(warm: WarmGuest) -> None:
    assert warm.result(command("id -Gn"))["stdout"] == "root"
    changed = warm.result(ansiballz("user", name="root", groups=["games"], append=True))
    try:
        # sudo logs in again; the agent itself has its groups from its start.
        as_root = AS_NOBODY.replace("-u nobody", "-u root")
        assert "games" in warm.result(command("id -Gn"), as_root)["stdout"].split()
        warm.result(ansiballz("user", name="root", groups=[], append=False), as_root)
        assert "games" not in warm.result(command("id -Gn"), as_root)["stdout"].split()
    finally:
        assert changed["changed"]
        warm.shell("gpasswd -d root games")


def test_agent_uses_no_processor_time_afterwards(warm: WarmGuest) -> None:
    warm.result(ansiballz("ping"))

    def ticks() -> int:
        fields = warm.shell("cat /proc/$(pidof qemu-ga)/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(2)
    assert ticks() - before <= 5


def test_parameters_are_in_no_argument_and_no_file(warm: WarmGuest) -> None:
    secret = "plantedmarker"
    warm.result(ansiballz("ping"))
    warm.result(ansiballz("ping", data=secret))
    found = warm.shell("grep -l '[p]lantedmarker' /proc/[0-9]*/cmdline /dev/shm/*/*.??? 2>&-; :")
    # The output of the last job stays until the next.
    assert re.sub(r"/dev/shm/netless-qga\.\w+\.warm/2\.(out|state)\n", "", found) == ""
    warm.result(ansiballz("ping"))
