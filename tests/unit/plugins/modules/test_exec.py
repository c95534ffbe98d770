# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module exec, in a guest that is this machine."""

from __future__ import annotations

import base64
import os
import pathlib
import re
import signal
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import output as output_module
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import runner as runner_module
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest

from .conftest import TEST_TIMEOUT, Clock, RunModule, comes, silence_of


def commands(agent: ScriptedAgent) -> set[str]:
    """Return the commands that the agent received."""
    return {request["execute"] for request in agent.requests}


@pytest.fixture(name="guest")
def fixture_guest() -> t.Iterator[LocalGuest]:
    """Provide a guest, and check that nothing is left in it at the end."""
    guest = LocalGuest()
    yield guest
    assert not guest.handles
    scripts = b"".join(base64.b64decode(call.get("input-data", "")) for call in guest.calls("guest-exec"))
    names = {name.decode() for name in re.findall(rb"netless-qga\.[0-9a-f]{12}\.[0-9a-f]{32}\.[0-9]+t?", scripts)}
    assert not [path for base in BASES for name in names for path in pathlib.Path(base).glob(f"{name}.*")]


def test_runs_a_program(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("exec", guest, argv=["printf", "%s\n", 'it\'s "here"', "汉语\n"])
    assert result["changed"] and result["rc"] == 0
    assert result["cmd"][0] == "printf"
    assert result["stdout"] == 'it\'s "here"\n汉语'
    assert result["stdout_lines"] == ['it\'s "here"', "汉语"]
    assert result["stderr"] == "" and result["stderr_lines"] == []
    assert "stdout_base64" not in result and "stderr_base64" not in result
    assert result["start"] < result["end"] and result["delta"].startswith("0:00:0")


def test_runs_a_command_line(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("exec", guest, cmd="echo a | tr a b; echo c >&2; cat", stdin="in")
    assert (result["stdout"], result["stderr"], result["cmd"]) == ("b\nin", "c", "echo a | tr a b; echo c >&2; cat")


def test_exit_status_other_than_zero_fails(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("exec", guest, cmd="echo out; echo err >&2; exit 3")
    assert result["failed"] and result["error"] == "program_failed" and result["changed"]
    assert (result["rc"], result["stdout"], result["stderr"]) == (3, "out", "err")
    assert "exit status 3" in result["msg"]


def test_missing_program_fails(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("exec", guest, argv=["/no/such/program"])
    assert result["failed"] and result["rc"] == 127 and "/no/such/program" in result["stderr"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, b""),
        ({"stdin": "text"}, b"text\n"),
        ({"stdin": ""}, b"\n"),
        ({"stdin": "text", "stdin_add_newline": False}, b"text"),
        ({"stdin_base64": base64.b64encode(bytes(range(256))).decode()}, bytes(range(256))),
        ({"stdin": "large" * 100_000, "stdin_add_newline": False}, b"large" * 100_000),
    ],
    ids=["none", "text", "empty", "as it is", "bytes", "large"],
)
def test_standard_input_reaches_the_program(
    run_module: RunModule, guest: LocalGuest, options: dict[str, t.Any], expected: bytes, tmp_path: pathlib.Path
) -> None:
    run_module("exec", guest, cmd=f"cat >{tmp_path}/in", **options)
    assert (tmp_path / "in").read_bytes() == expected


def test_output_that_is_not_utf8_is_returned_in_base64(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("exec", guest, cmd=r"printf 'a\377\000\n'; printf '\376' >&2")
    assert result["stdout"] == "a\ufffd\0" and base64.b64decode(result["stdout_base64"]) == b"a\xff\0\n"
    assert result["stderr"] == "\ufffd" and base64.b64decode(result["stderr_base64"]) == b"\xfe"


def test_sets_environment_and_directory(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "it's -here"
    directory.mkdir()
    result = run_module(
        "exec",
        guest,
        cmd='pwd; printf "%s\n" "$TEXT" "$NUMBER" "${PATH:+set}"',
        chdir=str(directory),
        env={"TEXT": 'it\'s $HOME "here"\n2', "NUMBER": 7},
    )
    assert result["stdout_lines"] == [str(directory), 'it\'s $HOME "here"', "2", "7", "set"]


def test_program_is_found_in_the_given_path(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    program.chmod(0o755)
    assert run_module("exec", guest, argv=["greet"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})["stdout"] == "hello"


def test_missing_directory_fails(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    result = run_module("exec", guest, argv=["touch", f"{tmp_path}/made"], chdir=f"{tmp_path}/none")
    assert result["failed"] and result["error"] == "process_error" and f"{tmp_path}/none" in result["msg"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("option", "pattern", "runs"),
    [
        ("creates", "there", False),
        ("creates", "not there", True),
        ("creates", "th*", False),
        ("creates", "*.none", True),
        ("creates", "with blanks", False),
        ("creates", "dangling", False),
        ("removes", "there", True),
        ("removes", "not there", False),
        ("removes", "th*", True),
        ("removes", "*.none", False),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_creates_and_removes(
    run_module: RunModule,
    guest: LocalGuest,
    tmp_path: pathlib.Path,
    option: str,
    pattern: str,
    runs: bool,
    check_mode: bool,
) -> None:
    for name in ("there", "with blanks"):
        (tmp_path / name).touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    options: dict[str, t.Any] = {option: pattern}
    result = run_module("exec", guest, check_mode=check_mode, argv=["touch", "made"], chdir=str(tmp_path), **options)
    assert result["changed"] is runs and result["rc"] == 0 and "failed" not in result
    assert (tmp_path / "made").exists() is (runs and not check_mode)
    assert runs or pattern in result["msg"]


def test_check_mode_without_conditions_skips(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    result = run_module("exec", guest, check_mode=True, argv=["touch", f"{tmp_path}/made"])
    assert result["skipped"] and not result["changed"]
    assert not guest.requests


def test_timeout_kills_the_program(
    run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path, clock: Clock
) -> None:
    pid = tmp_path / "pid"

    def start(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        is_first = not guest.calls("guest-exec")[1:]
        reply = usual(arguments)
        if is_first:
            end = time.monotonic() + TEST_TIMEOUT
            while not (pid.exists() and pid.read_text()) and time.monotonic() < end:
                time.sleep(0.01)
            clock.leap(600)
        return reply

    guest.replace("guest-exec", start)
    started = time.monotonic()
    result = run_module("exec", guest, cmd=f"echo $$ >{pid}; sleep 600 & wait", exec_timeout=600)
    assert result["failed"] and result["error"] == "process_timed_out" and "killed" in result["msg"]
    assert result["changed"] and "rc" not in result
    assert time.monotonic() - started < 2 * TEST_TIMEOUT
    assert not pathlib.Path("/proc", pid.read_text().strip()).exists()


def test_timeout_before_the_start_reports_no_change(
    run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path, clock: Clock
) -> None:
    def write(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        clock.leap(600)
        return NO_REPLY

    guest.replace("guest-file-write", write)
    stdin = base64.b64encode(os.urandom(1_200_000)).decode()
    result = run_module("exec", guest, cmd=f"touch {tmp_path}/run", stdin_base64=stdin, exec_timeout=600)
    assert result["failed"] and result["error"] == "process_timed_out" and "was not started" in result["msg"]
    assert not result["changed"] and not (tmp_path / "run").exists()


def test_lost_result_has_unknown_outcome(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    def restart(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        os.killpg(arguments["pid"], signal.SIGKILL)
        guest.forget()
        guest.handlers["guest-exec-status"] = usual
        return usual(arguments)

    def start(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        assert comes((tmp_path / "run").exists)
        return reply

    guest.replace("guest-exec-status", restart)
    guest.replace("guest-exec", start)
    result = run_module("exec", guest, cmd=f"touch {tmp_path}/run; sleep 600")
    assert result["failed"] and result["error"] == "outcome_unknown"
    assert result["changed"] and "rc" not in result


def test_lost_start_has_unknown_outcome(
    run_module: RunModule, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_APPEAR_TIMEOUT", 0.0)

    def lose(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        guest.handlers["guest-exec"] = usual
        return NO_REPLY

    guest.replace("guest-exec", lose)
    result = run_module("exec", guest, argv=["true"], silence=0.2)
    assert result["failed"] and result["error"] == "outcome_unknown" and result["changed"]


def test_too_much_output_fails_with_the_exit_status(
    run_module: RunModule, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_module, "_MAX_OUTPUT", 3)
    result = run_module("exec", guest, cmd="echo four; exit 7")
    assert result["failed"] and result["error"] == "process_error" and "more than 3 bytes" in result["msg"]
    assert result["changed"] and result["rc"] == 7 and result["cmd"] == "echo four; exit 7"


def test_unusable_shell_reports_no_change(run_module: RunModule, guest: LocalGuest) -> None:
    guest.replace("guest-exec", lambda usual, arguments: usual({"path": "false", "arg": []}))
    result = run_module("exec", guest, argv=["true"])
    assert result["failed"] and result["error"] == "process_error" and not result["changed"]


@pytest.mark.parametrize("command", ["guest-exec-status", "guest-file-open", "guest-file-read", "guest-file-close"])
@pytest.mark.parametrize("options", [{}, {"creates": "/no/such/file"}])
def test_runs_nothing_if_a_needed_command_is_unavailable(
    run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path, command: str, options: dict[str, t.Any]
) -> None:
    program: dict[str, t.Any] = {"argv": ["touch", f"{tmp_path}/run"], **options}
    guest.disabled.add(command)
    result = run_module("exec", guest, **program)
    assert result["failed"] and result["error"] == "command_disabled" and not result["changed"]
    assert command in result["msg"] and "FILTER_RPC_ARGS" in result["msg"]
    del guest.handlers[command]
    assert run_module("exec", guest, **program)["error"] == "command_missing"
    assert "guest-exec" not in commands(guest)


@pytest.mark.parametrize(
    "options",
    [
        {"argv": []},
        {"argv": [""]},
        {"argv": ["a\0b"]},
        {"argv": ["true"], "env": {"A-B": "1"}},
        {"argv": ["true"], "env": {"A=1;rm": "1"}},
        {"argv": ["true"], "env": {"A": ["b"]}},
        {"argv": ["true"], "stdin_base64": "no base64!"},
    ],
)
def test_rejects_invalid_options(run_module: RunModule, options: dict[str, t.Any]) -> None:
    agent = LocalGuest()
    result = run_module("exec", agent, **options)
    assert result["failed"] and result["error"] == "invalid_request"
    assert "guest-exec" not in commands(agent)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("blocked", "command_disabled"),
        ("frozen", "filesystems_frozen"),
        ("never", "outcome_unknown"),
        ("hangs_up", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("wrong_types", "protocol_violation"),
        ("silence", "agent_silent"),
    ],
)
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    secret = "a password"
    result = run_module("exec", ScriptedAgent(profile), cmd="cat", stdin=secret, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error
    assert secret not in str(result)


def test_agent_without_guest_exec(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    del agent.handlers["guest-exec"]
    assert run_module("exec", agent, argv=["true"])["error"] == "command_missing"


def test_missing_endpoint_is_unavailable(run_module: RunModule, tmp_path: pathlib.Path) -> None:
    result = run_module("exec", f"unix:{tmp_path}/nothing", argv=["true"])
    assert result["error"] == "endpoint_unavailable"


def test_timeout_limits_each_reply_and_not_the_program(run_module: RunModule) -> None:
    started = time.monotonic()
    result = run_module("exec", ScriptedAgent("never"), argv=["true"], silence=0.2, exec_timeout=600)
    assert result["error"] == "outcome_unknown" and time.monotonic() - started < 30


@pytest.mark.parametrize("check_mode", [False, True])
def test_timeout_that_is_not_positive_is_refused(run_module: RunModule, check_mode: bool) -> None:
    agent = ScriptedAgent()
    result = run_module("exec", agent, argv=["true"], exec_timeout=-1, check_mode=check_mode)
    assert result["error"] == "invalid_request" and not agent.requests
    assert result["msg"] == "exec_timeout is -1: it has to be a number of seconds greater than 0"
