# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module quiesce, against a scripted agent and with real commands and guards."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import tempfile
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze import quiesced_command
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent

from .conftest import TEST_TIMEOUT, Clock, RunModule, gone, silence_of


@pytest.fixture(name="guest")
def fixture_guest() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "debian"}
    return agent


@pytest.fixture(autouse=True)
def unignored_signals() -> t.Iterator[None]:
    """Stop ignoring SIGHUP and SIGINT, which a test run in the background or under nohup inherits as ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def names(agent: ScriptedAgent) -> list[str]:
    """Return the last word of each freeze and thaw that the agent got."""
    commands = [request["execute"] for request in agent.requests]
    return [name.rpartition("-")[2] for name in commands if name in ("guest-fsfreeze-freeze", "guest-fsfreeze-thaw")]


@contextlib.contextmanager
def meanwhile(directory: pathlib.Path, act: t.Callable[[], t.Any]) -> t.Iterator[str]:
    """Yield a command; call ``act`` once the command has started, and let the command end after that."""
    begun, done = directory / "begun", directory / "done"

    def wait_and_act() -> None:
        end = time.monotonic() + TEST_TIMEOUT
        while not begun.exists() and time.monotonic() < end:
            time.sleep(0.01)
        act()
        done.touch()

    actor = threading.Thread(target=wait_and_act)
    actor.start()
    try:
        yield f"touch {begun}; until test -e {done}; do sleep 0.05; done"
    finally:
        actor.join()


def thaws(agent: ScriptedAgent) -> bool:
    """Wait until the guest is thawed; return whether it is."""
    end = time.monotonic() + 2 * TEST_TIMEOUT
    while agent.frozen and time.monotonic() < end:
        time.sleep(0.05)
    return not agent.frozen


def test_runs_command_between_freeze_and_thaw(
    run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path
) -> None:
    result = run_module("quiesce", guest, cmd="pwd; printf '\\377' >&2; cat", chdir=str(tmp_path))
    assert result["changed"] and result["rc"] == 0 and result["consistent"] and result["inconsistent_because"] == []
    assert result["stdout"] == f"{tmp_path}\n" and result["stdout_lines"] == [str(tmp_path)]
    assert result["stderr"] == "\N{REPLACEMENT CHARACTER}"
    assert result["frozen"] == result["thawed"] == 1 and result["status"] == "thawed" and 0 < result["held"] < 30
    assert result["start"] < result["end"] and "warnings" not in result and "error" not in result
    assert names(guest) == ["freeze", "thaw"]


def test_guest_is_frozen_while_command_runs(
    run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path
) -> None:
    seen: list[bool] = []
    with meanwhile(tmp_path, lambda: seen.append(guest.frozen)) as command:
        run_module("quiesce", guest, argv=["sh", "-c", command])
    assert seen == [True] and not guest.frozen


def test_does_not_wait_for_background_processes(run_module: RunModule, guest: ScriptedAgent) -> None:
    result = run_module("quiesce", guest, cmd="sleep 30 & echo $!")
    assert result["consistent"] and result["held"] < 20
    os.kill(int(result["stdout"]), signal.SIGKILL)


def test_check_mode_runs_nothing(run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path) -> None:
    assert run_module("quiesce", guest, check_mode=True, cmd=f"touch {tmp_path}/x") == {"changed": True}
    assert guest.requests == [] and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cmd": "exit 3"}, "command_failed"),
        ({"argv": ["/nowhere/program"]}, "command_not_started"),
        ({"cmd": "true", "chdir": "/nowhere"}, "command_not_started"),
        ({"cmd": "sleep 30 & sleep 30", "max_frozen": 0.2}, "timed_out"),
        ({"cmd": "trap '' TERM; kill -TERM $PPID; sleep 0.1; kill -TERM $PPID; sleep 30"}, "interrupted"),
        ({"cmd": "kill -INT $PPID; sleep 30"}, "interrupted"),
        ({"cmd": "kill -HUP $PPID; sleep 30"}, "interrupted"),
        ({"cmd": "kill -KILL $$"}, "command_failed"),
    ],
)
def test_thaws_whatever_happens(
    run_module: RunModule, guest: ScriptedAgent, options: dict[str, t.Any], error: str
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    result = run_module("quiesce", guest, **options)
    assert result["failed"] and result["error"] == error and result["inconsistent_because"] == [error]
    assert not result["consistent"] and result["thawed"] == result["frozen"] == 1 and result["held"] < 20
    assert names(guest) == ["freeze", "thaw"] and not guest.frozen
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == handlers


class TooLate(BaseException):
    """The exception that Ansible raises for a task that takes too long."""


def test_thaws_when_task_timeout_is_over(run_module: RunModule, guest: ScriptedAgent) -> None:
    def on_alarm(number: int, frame: t.Any) -> None:
        raise TooLate

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        with pytest.raises(TooLate):
            run_module("quiesce", guest, cmd="kill -ALRM $PPID; sleep 30")
        assert signal.getsignal(signal.SIGALRM) == on_alarm
    finally:
        signal.signal(signal.SIGALRM, before)
    assert names(guest) == ["freeze", "thaw"] and not guest.frozen


def test_signal_during_freeze_is_deferred(run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path) -> None:
    def freeze(arguments: t.Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        guest.frozen = True
        return 1

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("quiesce", guest, cmd=f"touch {tmp_path}/x")
    assert result["failed"] and result["error"] == "interrupted" and not (tmp_path / "x").exists()
    assert names(guest) == ["freeze", "thaw"] and not guest.frozen


def test_runs_in_another_thread(run_module: RunModule, guest: ScriptedAgent) -> None:
    results: list[dict[str, t.Any]] = []
    thread = threading.Thread(target=lambda: results.append(run_module("quiesce", guest, cmd="true")))
    thread.start()
    thread.join()
    assert results[0]["consistent"]


def test_keeps_freeze_by_another_tool(run_module: RunModule, guest: ScriptedAgent) -> None:
    guest.frozen = True
    result = run_module("quiesce", guest, cmd="true")
    assert result["failed"] and result["error"] == "already_frozen" and "rc" not in result
    assert names(guest) == [] and guest.frozen


def test_runs_nothing_if_nothing_was_frozen(run_module: RunModule, guest: ScriptedAgent) -> None:
    guest.handlers["guest-fsfreeze-freeze"] = lambda arguments: 0
    result = run_module("quiesce", guest, cmd="true")
    assert result["failed"] and result["error"] == "nothing_frozen" and "rc" not in result


def test_inconsistent_if_counts_differ(run_module: RunModule, guest: ScriptedAgent) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.frozen = True
        return 1

    def thaw(arguments: t.Any) -> int:
        guest.frozen = False
        return 2

    guest.handlers["guest-fsfreeze-freeze-list"] = freeze
    guest.handlers["guest-fsfreeze-thaw"] = thaw
    result = run_module("quiesce", guest, cmd="true", mountpoints=["/", "/srv"])
    assert "failed" not in result and result["inconsistent_because"] == ["not_all_frozen", "counts_differ"]


def test_inconsistent_if_thawed_meanwhile(run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path) -> None:
    with meanwhile(tmp_path, lambda: setattr(guest, "frozen", False)) as command:
        result = run_module("quiesce", guest, cmd=command)
    assert "failed" not in result and result["inconsistent_because"] == ["thawed_meanwhile"] and result["thawed"] == 0


def test_keeps_later_freeze(run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path) -> None:
    def freeze_again() -> None:
        for state in ("thawed", "frozen"):
            run_module("fsfreeze", guest, state=state)

    run_module("fsfreeze_info", guest)
    with meanwhile(tmp_path, freeze_again) as command:
        result = run_module("quiesce", guest, cmd=command)
    assert "failed" not in result and result["inconsistent_because"] == ["thawed_meanwhile"]
    assert result["status"] == "frozen" and guest.frozen


def test_inconsistent_if_agent_reports_thaw_error(run_module: RunModule, guest: ScriptedAgent) -> None:
    def thaw(arguments: t.Any) -> int:
        guest.frozen = False
        raise ErrorReply("limited up to 10 seconds")

    guest.handlers["guest-fsfreeze-thaw"] = thaw
    result = run_module("quiesce", guest, cmd="true")
    assert result["inconsistent_because"] == ["thaw_error"] and "10 seconds" in result["warnings"][0]


def test_inconsistent_if_windows_was_frozen_too_long(
    run_module: RunModule, guest: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiesced_command, "_WINDOWS_HOLD_TIMEOUT", 0.2)
    assert run_module("quiesce", guest, cmd="sleep 0.3")["consistent"]
    guest.handlers["guest-get-osinfo"] = lambda arguments: {"id": "mswindows"}
    assert run_module("quiesce", guest, cmd="sleep 0.3")["inconsistent_because"] == ["windows_limit"]


def test_time_of_thaw_does_not_count_for_windows_limit(
    run_module: RunModule, guest: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thaw(arguments: t.Any) -> t.Any:
        time.sleep(5)
        return usual(arguments)

    usual, guest.handlers["guest-fsfreeze-thaw"] = guest.handlers["guest-fsfreeze-thaw"], thaw
    monkeypatch.setattr(quiesced_command, "_WINDOWS_HOLD_TIMEOUT", 5)
    guest.handlers["guest-get-osinfo"] = lambda arguments: {"id": "mswindows"}
    result = run_module("quiesce", guest, cmd="true")
    assert result["consistent"] and result["held"] > 5


def test_guard_thaws_guest_that_module_cannot_thaw(run_module: RunModule, guest: ScriptedAgent, clock: Clock) -> None:
    def thaw(arguments: t.Any) -> t.Any:
        raise ErrorReply("cannot read the mount table")

    clock.skips_sleep = True
    working, guest.handlers["guest-fsfreeze-thaw"] = guest.handlers["guest-fsfreeze-thaw"], thaw
    result = run_module("quiesce", guest, cmd="exit 3")
    assert result["failed"] and result["error"] == "not_thawed" and result["status"] == "unknown" and result["rc"] == 3
    assert result["inconsistent_because"] == ["command_failed", "not_thawed"]
    assert guest.frozen
    guest.handlers["guest-fsfreeze-thaw"] = working
    assert thaws(guest)


def test_guard_thaws_at_once_if_module_is_killed(run_module: RunModule, guest: ScriptedAgent) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, contextlib.ExitStack() as stack:
        path = f"{directory}/socket"
        wait_end, start_end = os.pipe()
        # Fork before there are threads.
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.read(wait_end, 1)
                run_module("quiesce", f"unix:{path}", cmd="kill -KILL $PPID; sleep 1")
            os._exit(1)
        stack.enter_context(guest.listening(path))
        os.write(start_end, b"!")
        for end in (wait_end, start_end):
            os.close(end)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL and "freeze" in names(guest)
        assert thaws(guest)


def test_ends_child_processes_of_command(run_module: RunModule, guest: ScriptedAgent, tmp_path: pathlib.Path) -> None:
    child = tmp_path / "child"
    cmd = f"(trap '' TERM; echo $$ >{child}; exec sh -c 'echo $$ >{child}; sleep 300') & wait"
    result = run_module("quiesce", guest, cmd=cmd, max_frozen=2)
    assert result["error"] == "timed_out" and not guest.frozen
    assert gone(int(child.read_text()))


def test_thaws_if_command_cannot_be_ended(
    run_module: RunModule, guest: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a command that waits for storage that does not answer."""
    pids: list[int] = []

    def kill(pid: int, number: int) -> None:
        pids.append(pid)

    monkeypatch.setattr(os, "killpg", kill)
    result = run_module("quiesce", guest, cmd="sleep 300", max_frozen=0.2)
    os.kill(pids[0], signal.SIGKILL)
    assert result["error"] == "timed_out" and "rc" not in result and "SIGKILL" in result["msg"]
    assert result["status"] == "thawed" and not guest.frozen


@pytest.mark.parametrize(
    "options", [{"cmd": ""}, {"argv": []}, {"cmd": "x", "max_frozen": 0}, {"cmd": "x", "max_frozen": 1e12}]
)
def test_rejects_invalid_options(run_module: RunModule, guest: ScriptedAgent, options: dict[str, t.Any]) -> None:
    assert run_module("quiesce", guest, **options)["error"] == "invalid_request" and guest.requests == []


@pytest.mark.parametrize(
    ("profile", "error"),
    [("never", "outcome_unknown"), ("garbage", "protocol_violation"), ("silence", "agent_silent")],
)
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("quiesce", ScriptedAgent(profile), cmd="true", silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and "rc" not in result


@pytest.mark.parametrize("profile", ["frozen", "frozen_newer_text"])
def test_old_and_new_frozen_agents_are_recognised(run_module: RunModule, profile: str) -> None:
    agent = ScriptedAgent(profile)
    assert run_module("quiesce", agent, cmd="true")["error"] == "already_frozen" and agent.frozen
