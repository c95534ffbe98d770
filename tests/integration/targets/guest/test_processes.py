# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, Outcome
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, ProcessTimedOut, WrongUser
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

KIB, MIB = 1024, 1024 * 1024


def shell(runner: ProgramRunner, text: str, *arguments: str, **options: t.Any) -> tuple[int, bytes, bytes]:
    result = runner.run(["/bin/sh", "-c", text, "sh", *arguments], **{"deadline": Deadline.after(60), **options})
    return result.rc, result.stdout, result.stderr


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 3 * MIB])
def test_input_and_output_can_have_any_size(runner: ProgramRunner, size: int) -> None:
    data = os.urandom(size)
    assert shell(runner, "tee /dev/stderr", stdin=data) == (0, data, data)


@pytest.mark.parametrize("guest", ["bookworm"], indirect=True)
def test_output_larger_than_the_agent_captures(runner: ProgramRunner) -> None:
    for size in (17 * MIB, 40 * MIB):
        data = os.urandom(size)
        assert shell(runner, "cat", stdin=data) == (0, data, b"")
        assert shell(runner, "cat >&2", stdin=data) == (0, b"", data)


def test_arguments_are_not_interpreted(runner: ProgramRunner) -> None:
    arguments = [
        "",
        "a b",
        "it's",
        'say "x"',
        "$HOME",
        "new\nline\n",
        "汉语",
        "-n",
        "back\\slash",
        "*",
        "`id`",
        "x" * 60000,
    ]
    rc, stdout, stderr = shell(runner, 'printf "<%s>" "$@"', *arguments)
    assert (rc, stdout.decode(), stderr) == (0, "".join(f"<{argument}>" for argument in arguments), b"")


def test_exit_status_and_death_by_signal(runner: ProgramRunner) -> None:
    assert shell(runner, "exit 7")[0] == 7
    assert shell(runner, "kill -s TERM $$")[0] == 128 + 15
    assert shell(runner, "kill -s KILL $$")[0] == 128 + 9
    assert runner.run(["/no/such/program"], deadline=Deadline.after(30)).rc == 127


def test_background_process_is_not_waited_for(runner: ProgramRunner) -> None:
    started = time.monotonic()
    assert shell(runner, "sleep 60 & echo started") == (0, b"started\n", b"")
    assert time.monotonic() - started < 30
    # Its later output does not appear in the output of the next program.
    shell(runner, "(sleep 0.3; echo late) &")
    assert shell(runner, "sleep 0.6; echo mine") == (0, b"mine\n", b"")
    shell(runner, "pkill -x sleep")


def test_environment_is_that_of_a_login(runner: ProgramRunner) -> None:
    rc, stdout, dummy = shell(runner, 'echo "$HOME"; echo ~; pwd; umask; echo "$PATH"')
    assert rc == 0
    assert stdout.split()[:4] == [b"/root", b"/root", b"/root", b"0022"]
    assert b"/usr/sbin" in stdout.split()[4]


def test_given_environment_replaces_the_agents(runner: ProgramRunner) -> None:
    rc, stdout, dummy = shell(runner, "env", environment={"SECRET": "x y'z", "HOME": "/tmp"})
    assert rc == 0
    names = {line.partition(b"=")[0] for line in stdout.splitlines()}
    assert {b"SECRET", b"HOME", b"PATH"} <= names <= {b"SECRET", b"HOME", b"PATH", b"PWD", b"_", b"SHLVL"}
    assert b"SECRET=x y'z\n" in stdout and b"HOME=/tmp\n" in stdout


def test_program_stays_in_the_agents_control_group_without_systemd(
    guest: SandboxedAgent, runner: ProgramRunner
) -> None:
    rc, stdout, stderr = shell(runner, "cat /proc/self/cgroup")
    assert (rc, stderr) == (0, b"")
    assert stdout == pathlib.Path(f"/proc/{guest.pid}/cgroup").read_bytes()


def test_deadline_ends_the_process_group(runner: ProgramRunner) -> None:
    with pytest.raises(ProcessTimedOut, match=r"/bin/sh was still running after 1\.\d s, and its process group \d+"):
        shell(runner, "sleep 4711 & trap '' TERM; sleep 4711; sleep 4711", deadline=Deadline.after(1))
    # The sandbox has no init that reaps ended processes.
    assert shell(runner, "ps -e -o stat=,args= | grep '^[^Z].*[s]leep 4711'") == (1, b"", b"")


def test_another_user_fails_before_anything_runs(runner: ProgramRunner) -> None:
    with pytest.raises(WrongUser, match="the guest agent runs as root"):
        shell(runner, "touch /tmp/ran", user="alice")
    assert shell(runner, "test -e /tmp/ran", user="root")[0] == 1


def test_nul_in_an_argument_is_rejected(runner: ProgramRunner) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        shell(runner, "a\0b")


def test_polls_are_few(runner: ProgramRunner, log: list[str]) -> None:
    shell(runner, "sleep 2")
    assert 3 <= sum(line.startswith("guest-exec-status answered") for line in log) <= 20


def test_nothing_is_left_in_the_guest(guest: SandboxedAgent, runner: ProgramRunner, agent: Agent) -> None:
    spools = pathlib.Path(f"/proc/{guest.pid}/root/dev/shm")
    before = set(spools.iterdir())
    shell(runner, "echo out; echo err >&2")
    runner.run(["cat"], stdin=os.urandom(agent.chunk + 1), deadline=Deadline.after(60))
    left = set(spools.iterdir()) - before
    assert {path.suffix for path in left} == {".room", ".state", ".out", ".err", ".in"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in left} == {0o600}
    runner.close()
    assert set(spools.iterdir()) == before


class _LosesReplies(StreamChannel):
    """A channel that loses the reply to one command as in a timeout: the command was sent, and sync is lost."""

    lose = ""

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        if not any(call.command == self.lose for call in calls):
            return super().exchange(calls, deadline)
        self.lose = ""
        self.reply_timeout, usual = 0.0, self.reply_timeout
        try:
            return super().exchange(calls, deadline)
        finally:
            self.reply_timeout = usual


@pytest.mark.parametrize("command", ["guest-exec", "guest-exec-status"])
def test_result_survives_a_lost_reply(guest: SandboxedAgent, command: str) -> None:
    log: list[str] = []
    channel = _LosesReplies(parse_connector(guest.endpoint), log=log.append)
    agent = Agent(channel)
    runner = ProgramRunner(agent, Files(agent))
    try:
        shell(runner, "true")
        channel.lose = command
        assert shell(runner, "echo ran >>/tmp/once; echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
        assert channel.lose == ""
        assert shell(runner, "cat /tmp/once; rm /tmp/once") == (0, b"ran\n", b"")
    finally:
        runner.close()
        agent.close()
