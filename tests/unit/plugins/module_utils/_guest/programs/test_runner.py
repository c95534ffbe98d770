# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs in a guest that is this machine, followed to their end although replies are lost."""

from __future__ import annotations

import base64
import os
import pathlib
import shutil
import signal
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import absence
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import output as output_module
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import runner as runner_module
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    InvalidRequest,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    WrongUser,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply

from ..conftest import CHUNK, spools
from ..local_guest import LocalGuest

Usual = t.Callable[[t.Any], t.Any]


def soon() -> Deadline:
    """Return a deadline that no test here reaches."""
    return Deadline.after(60)


def shell(script: str) -> list[str]:
    """Return the command line that runs a shell script."""
    return ["sh", "-c", script]


def lose(guest: LocalGuest, command: str, *numbers: int) -> None:
    """Lose the reply to some calls of a command, which is carried out."""

    def change(usual: Usual, arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        return NO_REPLY if len(guest.calls(command)) in numbers else reply

    guest.replace(command, change)


def until_it_leads_its_group(pid: int) -> None:
    """Wait until setsid has made the process lead a group."""
    while os.getpgid(pid) != pid:
        time.sleep(0.01)


class Once(Deadline):
    """A deadline that passes when files have been written."""

    paths: tuple[pathlib.Path, ...] = ()

    @classmethod
    def written(cls, *paths: pathlib.Path) -> Once:
        deadline = cls(Deadline.after(60).at)
        object.__setattr__(deadline, "paths", paths)
        return deadline

    @property
    def passed(self) -> bool:
        return super().passed or all(path.exists() and path.read_text() for path in self.paths)

    def within(self, seconds: float) -> Deadline:
        return Deadline(self.at).within(seconds)


def ends(pid: int) -> bool:
    """Wait for a process to end, and return whether it has."""
    deadline = Deadline.after(30)
    while not deadline.passed:
        try:
            os.kill(pid, 0)
            if pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_runs_a_program(runner: ProgramRunner) -> None:
    script = "cat; echo err >&2; exit 3"
    assert runner.run(shell(script), stdin=b"\0in\xff", deadline=soon()) == CompletedProcess(3, b"\0in\xff", b"err\n")
    assert runner.run(["true"], deadline=soon()) == CompletedProcess(0, b"", b"")


def test_short_programs_take_few_calls(runner: ProgramRunner, guest: LocalGuest) -> None:
    def start(usual: Usual, arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        # Both programs end before it pays to read the state file.
        while guest.running[reply["pid"]].ended is None:
            time.sleep(0.001)
        return reply

    guest.replace("guest-exec", start)
    runner.run(["true"], deadline=soon())
    runner.run(["echo"], deadline=soon())
    assert len(guest.calls("guest-exec")) == 2
    # Only output files that are not empty are read.
    assert [call["path"].rpartition(".")[2] for call in guest.calls("guest-file-open")] == ["out"]


def test_guest_log_shows_neither_arguments_nor_input(runner: ProgramRunner, guest: LocalGuest) -> None:
    runner.run(["echo", "secret"], stdin=b"secret", environment={"PATH": os.environ["PATH"]}, deadline=soon())
    assert "secret" not in str([call["arg"] for call in guest.calls("guest-exec")])


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 5 * CHUNK])
def test_input_and_output_can_have_any_size(runner: ProgramRunner, size: int) -> None:
    stdin = os.urandom(size)
    result = runner.run(shell("tee /dev/stderr"), stdin=stdin, deadline=soon())
    assert result == CompletedProcess(0, stdin, stdin)
    assert runner.run(["cat"], stdin=stdin, deadline=soon()).stdout == stdin


def test_sets_the_environment(runner: ProgramRunner) -> None:
    result = runner.run(shell("echo $A; echo $HOME"), environment={"A": "é", "HOME": "/tmp"}, deadline=soon())
    assert result.stdout == "é\n/tmp\n".encode()


def test_does_not_wait_for_background_processes(runner: ProgramRunner) -> None:
    result = runner.run(shell("sleep 300 & echo $!"), deadline=soon())
    os.kill(int(result.stdout), signal.SIGKILL)


@pytest.mark.parametrize("lost", [(1,), (2,), (1, 2)])
def test_lost_status_reply_does_not_lose_the_result(
    runner: ProgramRunner, guest: LocalGuest, lost: tuple[int, ...]
) -> None:
    lose(guest, "guest-exec-status", *lost)
    assert runner.run(shell("echo out; exit 5"), deadline=soon()) == CompletedProcess(5, b"out\n", b"")


def test_long_program_is_rarely_polled(runner: ProgramRunner, guest: LocalGuest) -> None:
    quick = Deadline.after(0.3)
    states_when_polled: list[bytes] = []

    def poll(usual: Usual, arguments: t.Any) -> t.Any:
        if quick.passed:
            states_when_polled.extend(path.read_bytes() for path in spools(runner) if path.suffix == ".state")
        return usual(arguments)

    guest.replace("guest-exec-status", poll)
    assert runner.run(shell("sleep 2; exit 3"), deadline=soon()).rc == 3
    # The time between polls doubles until the state file has the exit report.
    assert len([text for text in states_when_polled if text.count(b"\n") < 2]) <= 8


def test_killed_script_is_noticed(runner: ProgramRunner) -> None:
    result = runner.run(shell("echo out; sleep 0.4; kill -KILL $PPID"), deadline=soon())
    assert result == CompletedProcess(128 + signal.SIGKILL, b"out\n", b"")


def test_state_file_is_reopened_after_agent_lost_its_handles(runner: ProgramRunner, guest: LocalGuest) -> None:
    def lose_files(usual: Usual, arguments: t.Any) -> t.Any:
        if len(guest.calls("guest-file-read")) == 2:
            for descriptor in guest.handles.values():
                os.close(descriptor)
            guest.handles.clear()
        return usual(arguments)

    guest.replace("guest-file-read", lose_files)
    assert runner.run(shell("sleep 0.8; echo out"), deadline=soon()) == CompletedProcess(0, b"out\n", b"")
    assert guest.calls("guest-file-open")[-1]["path"].endswith(".out")


def test_fails_when_the_agent_stays_away(
    runner: ProgramRunner, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(absence, "_AWAY_TIMEOUT", 0.5)
    usual = guest.handlers["guest-exec-status"]
    guest.handlers["guest-exec-status"] = lambda arguments: NO_REPLY
    with pytest.raises(OutcomeUnknown, match="the answer to guest-exec-status is lost"):
        runner.run(shell(f"echo run >>{tmp_path}/runs"), deadline=soon())
    guest.handlers["guest-exec-status"] = usual
    assert (tmp_path / "runs").read_text() == "run\n"


def test_finds_a_program_whose_start_reply_was_lost(runner: ProgramRunner, guest: LocalGuest, tmp_path: t.Any) -> None:
    lose(guest, "guest-exec", 1)
    result = runner.run(shell(f"echo run >>{tmp_path}/runs; echo out; exit 5"), deadline=soon())
    assert result == CompletedProcess(5, b"out\n", b"")
    assert (tmp_path / "runs").read_text() == "run\n"
    assert len(guest.calls("guest-exec")) == 1


@pytest.mark.parametrize("reply", [{}, {"pid": "1"}, []], ids=str)
def test_finds_a_program_whose_start_reply_was_wrong(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path, reply: t.Any
) -> None:
    usual = guest.handlers["guest-exec"]

    def start(arguments: t.Any) -> t.Any:
        guest.handlers["guest-exec"] = usual
        usual(arguments)
        return reply

    guest.handlers["guest-exec"] = start
    result = runner.run(shell(f"echo run >>{tmp_path}/runs; echo out; exit 5"), deadline=soon())
    assert result == CompletedProcess(5, b"out\n", b"")
    assert (tmp_path / "runs").read_text() == "run\n" and runner.may_have_run


def test_lost_start_without_trace_has_unknown_outcome(
    runner: ProgramRunner, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_APPEAR_TIMEOUT", 0.2)
    usual = guest.handlers["guest-exec"]
    guest.handlers["guest-exec"] = lambda arguments: NO_REPLY
    with pytest.raises(OutcomeUnknown):
        runner.run(["true"], deadline=soon())
    assert len(guest.calls("guest-exec")) == 1
    guest.handlers["guest-exec"] = usual


def test_result_survives_a_restart_of_the_agent(runner: ProgramRunner, guest: LocalGuest) -> None:
    def restart(usual: Usual, arguments: t.Any) -> t.Any:
        while guest.running[arguments["pid"]].ended is None:
            time.sleep(0.01)
        guest.forget()
        return usual(arguments)

    guest.replace("guest-exec-status", restart)
    assert runner.run(shell("echo out; exit 5"), deadline=soon()) == CompletedProcess(5, b"out\n", b"")


def test_forgotten_program_without_result_has_unknown_outcome(runner: ProgramRunner, guest: LocalGuest) -> None:
    usual_status = guest.handlers["guest-exec-status"]

    def restart(usual: Usual, arguments: t.Any) -> t.Any:
        guest.handlers["guest-exec-status"] = usual_status
        until_it_leads_its_group(arguments["pid"])
        os.killpg(arguments["pid"], signal.SIGKILL)
        guest.forget()
        return usual(arguments)

    guest.replace("guest-exec-status", restart)
    with pytest.raises(OutcomeUnknown, match=r"the agent has forgotten sleep, process [0-9]+, which left no result"):
        runner.run(["sleep", "300"], deadline=soon())


def forget_when_written(guest: LocalGuest, path: pathlib.Path) -> None:
    """Restart the agent once, as soon as a program has written a file."""
    status = guest.handlers["guest-exec-status"]

    def restart(usual: Usual, arguments: t.Any) -> t.Any:
        if path.exists() and path.read_text():
            guest.forget()
            guest.handlers["guest-exec-status"] = status
        return usual(arguments)

    guest.replace("guest-exec-status", restart)


def test_running_program_is_followed_after_a_restart_of_the_agent(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path
) -> None:
    forget_when_written(guest, tmp_path / "started")
    result = runner.run(shell(f"echo run >>{tmp_path}/started; sleep 2; echo out; exit 5"), deadline=soon())
    assert result == CompletedProcess(5, b"out\n", b"")
    assert (tmp_path / "started").read_text() == "run\n"
    # No program is started to find out whether the process still exists, and the file of its command line is closed.
    assert len(guest.calls("guest-exec")) == 1
    looks = [call for call in guest.calls("guest-file-open") if call["path"].startswith("/proc/")]
    assert 1 <= len(looks) <= 20


def test_deadline_kills_a_program_that_the_agent_has_forgotten(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path
) -> None:
    forget_when_written(guest, tmp_path / "pid")
    with pytest.raises(ProcessTimedOut, match=r"sh was still running after .* and its process group .* was killed"):
        runner.run(shell(f"echo $$ >{tmp_path}/pid; exec sleep 300"), deadline=Deadline.after(2))
    assert ends(int((tmp_path / "pid").read_text()))


def test_forgotten_program_that_is_killed_later_has_unknown_outcome(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path
) -> None:
    forget_when_written(guest, tmp_path / "pid")
    script = f"echo $$ >{tmp_path}/pid; sleep 1; kill -KILL 0"
    with pytest.raises(OutcomeUnknown, match=r"the agent has forgotten sh, process [0-9]+, which left no result"):
        runner.run(shell(script), deadline=soon())
    assert runner.may_have_run


def test_another_process_with_the_same_id_is_not_followed(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path
) -> None:
    forget_when_written(guest, tmp_path / "started")

    def open_another(usual: Usual, arguments: t.Any) -> t.Any:
        if arguments["path"].startswith("/proc/"):
            return usual({**arguments, "path": f"/proc/{os.getpid()}/cmdline"})
        return usual(arguments)

    guest.replace("guest-file-open", open_another)
    with pytest.raises(OutcomeUnknown, match="which left no result"):
        runner.run(shell(f"echo $PPID >{tmp_path}/started; exec sleep 300"), deadline=soon())
    os.killpg(int((tmp_path / "started").read_text()), signal.SIGKILL)


def test_program_is_followed_although_the_restarted_agent_loses_a_reply(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path
) -> None:
    forget_when_written(guest, tmp_path / "started")
    lost: list[str] = []

    def lose_first(usual: Usual, arguments: t.Any) -> t.Any:
        if arguments["path"].startswith("/proc/") and not lost:
            lost.append(arguments["path"])
            return NO_REPLY
        return usual(arguments)

    guest.replace("guest-file-open", lose_first)
    assert runner.run(shell(f"echo run >>{tmp_path}/started; sleep 5; exit 5"), deadline=soon()).rc == 5
    assert lost and (tmp_path / "started").read_text() == "run\n"


def test_nothing_is_started_after_the_deadline(runner: ProgramRunner, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProcessTimedOut, match="touch was not started, as its deadline had passed"):
        runner.run(["touch", str(tmp_path / "started")], deadline=Deadline.after(0))
    assert not runner.may_have_run and not (tmp_path / "started").exists()


def test_deadline_kills_the_program_and_its_children(runner: ProgramRunner, tmp_path: pathlib.Path) -> None:
    script = f"sleep 300 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/parent; wait"
    with pytest.raises(ProcessTimedOut, match=r"sh was still running after .* and its process group .* was killed"):
        runner.run(shell(script), deadline=Once.written(tmp_path / "parent", tmp_path / "child"))
    for name in ("parent", "child"):
        assert ends(int((tmp_path / name).read_text()))


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [(True, "guest-exec: Command guest-exec has been disabled"), (False, "the answer to guest-exec is lost")],
)
def test_timeout_names_the_program_even_if_it_could_not_be_killed(
    runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path, refuse: bool, reason: str
) -> None:
    def start_only_the_program(usual: Usual, arguments: t.Any) -> t.Any:
        return usual(arguments) if arguments["path"] == "setsid" else NO_REPLY

    def block(usual: Usual, arguments: t.Any) -> t.Any:
        guest.disabled.add("guest-exec")
        return usual(arguments)

    usual = guest.handlers["guest-exec"]
    guest.replace("guest-exec", start_only_the_program)
    if refuse:
        guest.replace("guest-exec-status", block)
    with pytest.raises(
        ProcessTimedOut,
        match=rf"sh was still running after .*not known whether its process group \d+ .* killed: .*{reason}",
    ):
        runner.run(shell(f"echo $$ >{tmp_path}/pid; exec sleep 300"), deadline=Once.written(tmp_path / "pid"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    guest.handlers["guest-exec"] = usual
    guest.disabled.clear()


def test_works_without_setsid(runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    def refuse_setsid(usual: Usual, arguments: t.Any) -> t.Any:
        if arguments["path"] == "setsid":
            raise ErrorReply("Failed to execute child process \u201csetsid\u201d (No such file or directory)")
        return usual(arguments)

    guest.replace("guest-exec", refuse_setsid)
    assert runner.run(["echo", "x"], deadline=soon()).stdout == b"x\n"
    assert runner.run(["echo", "x"], deadline=soon()).stdout == b"x\n"
    assert [call["path"] for call in guest.calls("guest-exec")] == ["setsid", "/bin/sh", "/bin/sh"]
    with pytest.raises(ProcessTimedOut, match=r"has no setsid .* were not killed"):
        runner.run(shell(f"echo $$ >{tmp_path}/pid; exec sleep 300"), deadline=Once.written(tmp_path / "pid"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_failing_start_reports_the_agents_error(runner: ProgramRunner, guest: LocalGuest) -> None:
    def refuse(arguments: t.Any) -> t.NoReturn:
        raise ErrorReply("Failed to execute child process")

    usual = guest.handlers["guest-exec"]
    guest.handlers["guest-exec"] = refuse
    with pytest.raises(AgentRefused, match="Failed to execute child process"):
        runner.run(["true"], deadline=soon())
    guest.handlers["guest-exec"] = usual


def test_unusable_shell_is_reported(runner: ProgramRunner, guest: LocalGuest) -> None:
    def start_another(usual: Usual, arguments: t.Any) -> t.Any:
        return usual({"path": "sh", "arg": ["-c", "echo 'no such builtin: read' >&2; exit 127"]})

    usual = guest.handlers["guest-exec"]
    guest.replace("guest-exec", start_another)
    with pytest.raises(ProcessError, match="/bin/sh cannot run programs: no such builtin: read"):
        runner.run(["true"], deadline=soon())
    guest.handlers["guest-exec"] = usual


def test_compresses_standard_input_that_fits_afterwards(runner: ProgramRunner, guest: LocalGuest) -> None:
    stdin = b"0123456789" * 300
    assert runner.run(["cat"], stdin=stdin, deadline=soon()).stdout == stdin
    assert len(guest.calls("guest-exec")) == 1 and not guest.calls("guest-file-write")
    # Larger input is written to the spool, compressed where that saves much.
    assert runner.run(["cat"], stdin=os.urandom(2 * CHUNK), deadline=soon()).rc == 0
    assert len(guest.calls("guest-file-write")) == 2


@pytest.mark.parametrize("size", [1, CHUNK // 2, CHUNK - 1, CHUNK])
def test_never_sends_more_than_a_chunk(runner: ProgramRunner, guest: LocalGuest, size: int) -> None:
    stdin = os.urandom(size)
    assert runner.run(["cat"], stdin=stdin, deadline=soon()).stdout == stdin
    assert all(len(base64.b64decode(call.get("input-data", ""))) <= CHUNK for call in guest.calls("guest-exec"))


def test_sends_a_program_longer_than_a_chunk(runner: ProgramRunner, guest: LocalGuest) -> None:
    argument = "a" * 2 * CHUNK
    assert runner.run(["echo", argument], deadline=soon()).stdout == f"{argument}\n".encode()
    # There is no standard input to write to the spool.
    assert len(guest.calls("guest-exec")) == 1


@pytest.mark.parametrize("lost", ["guest-exec", "guest-exec-status", "guest-file-write"])
def test_late_standard_input_prevents_the_start(runner: ProgramRunner, guest: LocalGuest, lost: str) -> None:
    assert runner.run(["true"], deadline=soon()).rc == 0
    usual = guest.handlers[lost]
    guest.handlers[lost] = lambda arguments: NO_REPLY
    with pytest.raises(ProcessTimedOut, match="cat was not started, as its standard input was not in the guest"):
        runner.run(["cat"], stdin=os.urandom(2 * CHUNK), deadline=Deadline.after(1))
    assert not runner.may_have_run
    guest.handlers[lost] = usual


def test_lost_write_of_standard_input_has_unknown_outcome(runner: ProgramRunner, guest: LocalGuest) -> None:
    guest.handlers["guest-file-write"] = lambda arguments: NO_REPLY
    with pytest.raises(OutcomeUnknown, match="the answer to guest-file-write is lost"):
        runner.run(["cat"], stdin=os.urandom(2 * CHUNK), deadline=soon())
    assert not runner.may_have_run


def test_works_without_gzip(runner: ProgramRunner, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    for name in ("sh", "cat", "id", "rm", "setsid", "wc"):
        (tmp_path / name).symlink_to(t.cast(str, shutil.which(name)))
    guest.replace("guest-exec", lambda usual, arguments: usual({**arguments, "env": [f"PATH={tmp_path}"]}))
    stdin = b"0123456789" * 300
    for dummy in range(2):
        assert runner.run(["cat"], stdin=stdin, deadline=soon()).stdout == stdin
    # One compressed attempt fails. Then each run takes two: one creates the spool file, one runs the program.
    assert len(guest.calls("guest-exec")) == 1 + 2 + 2


def test_missing_place_for_standard_input_is_reported(runner: ProgramRunner, guest: LocalGuest) -> None:
    usual = guest.handlers["guest-exec"]
    guest.handlers["guest-exec"] = lambda arguments: usual({"path": "sh", "arg": ["-c", "echo read-only >&2; exit 1"]})
    with pytest.raises(ProcessError, match="the guest has no place for standard input: read-only"):
        runner.run(["cat"], stdin=os.urandom(2 * CHUNK), deadline=soon())
    guest.handlers["guest-exec"] = usual


@pytest.mark.parametrize(
    ("size", "script"),
    [
        (0, "printf %09000d 0 >&2; exit 1"),
        (2 * CHUNK, "printf %09000d 0 >&2; exit 1"),
        (0, "printf 'user %09000d\n' 0"),
    ],
    ids=["the shell", "the place for standard input", "the user"],
)
def test_long_error_texts_are_cut(runner: ProgramRunner, guest: LocalGuest, size: int, script: str) -> None:
    usual = guest.handlers["guest-exec"]
    guest.handlers["guest-exec"] = lambda arguments: usual({"path": "sh", "arg": ["-c", script]})
    with pytest.raises(ProcessError, match=r" 0{200,300}\.\.\.") as caught:
        runner.run(["cat"], stdin=os.urandom(size), deadline=soon())
    assert len(str(caught.value)) < 1000
    guest.handlers["guest-exec"] = usual


def test_runs_nothing_as_another_user(runner: ProgramRunner, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WrongUser, match=r"the guest agent runs as .* Leave remote_user unset, or set it to"):
        runner.run(["touch", str(tmp_path / "run")], user="somebody-else", deadline=soon())
    assert not (tmp_path / "run").exists()


def test_rejects_arguments_with_nul_or_surrogates(runner: ProgramRunner, guest: LocalGuest) -> None:
    for argument in ("a\0b", "\udcff"):
        with pytest.raises(InvalidRequest, match="an argument of 'echo'"):
            runner.run(["echo", argument], deadline=soon())
    assert not guest.calls("guest-exec")


def test_program_that_kills_the_script_has_an_exit_status(runner: ProgramRunner) -> None:
    assert runner.run(shell("echo out; kill -KILL 0"), deadline=soon()) == CompletedProcess(137, b"out\n", b"")


def test_state_file_counts_if_the_script_was_killed_later(runner: ProgramRunner, guest: LocalGuest) -> None:
    def end_otherwise(usual: Usual, arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        if reply["exited"]:
            # As if killed after writing the state file and before printing the report.
            return {"exited": True, "signal": 9}
        return reply

    guest.replace("guest-exec-status", end_otherwise)
    assert runner.run(shell("echo out; exit 5"), deadline=soon()) == CompletedProcess(5, b"out\n", b"")


@pytest.mark.parametrize(
    ("kinds", "written"), [("out", "echo x"), ("out", ":"), ("err", "echo x >&2"), ("{out,err,state}", "echo x")]
)
def test_removed_output_is_an_error(runner: ProgramRunner, kinds: str, written: str) -> None:
    prefix = runner._prefix  # pylint: disable=protected-access
    remove = f"rm {' '.join(f'{base}/{prefix}.*.{kinds}' for base in BASES)} 2>/dev/null; exit 3"
    with pytest.raises(ProcessError, match=r"bash ended with the exit status 3, but its output is lost: .* has no /"):
        runner.run(["bash", "-c", f"{written}; {remove}"], deadline=soon())
    assert runner.may_have_run and runner.rc == 3


def test_output_removed_after_the_end_is_an_error(runner: ProgramRunner, guest: LocalGuest) -> None:
    def remove(usual: Usual, arguments: t.Any) -> t.Any:
        for path in spools(runner):
            path.unlink()
        return usual(arguments)

    guest.replace("guest-file-open", remove)
    with pytest.raises(ProcessError, match=r"echo ended with the exit status 0, but its output is lost: .* has no /"):
        runner.run(["echo", "x"], deadline=soon())


def test_output_removed_together_with_the_script_is_an_error(runner: ProgramRunner) -> None:
    prefix = runner._prefix  # pylint: disable=protected-access
    remove = f"rm -f {' '.join(f'{base}/{prefix}.*.out' for base in BASES)}"
    with pytest.raises(ProcessError, match=r"sh ended with the exit status 137, but its output is lost"):
        runner.run(shell(f"{remove}; kill -KILL 0"), deadline=soon())


def test_output_in_memory_is_bounded(runner: ProgramRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "_MAX_OUTPUT", 2 * CHUNK)
    assert len(runner.run(shell(f"head -c {2 * CHUNK} /dev/zero"), deadline=soon()).stdout) == 2 * CHUNK
    with pytest.raises(ProcessError, match=r"ended with the exit status 3, .* more than Ansible reads into memory"):
        runner.run(shell(f"head -c {2 * CHUNK + 1} /dev/zero; exit 3"), deadline=soon())
    assert runner.may_have_run and runner.rc == 3


def test_output_that_a_background_process_appends_is_left_out(runner: ProgramRunner, guest: LocalGuest) -> None:
    script = f"(while :; do echo x; done) & head -c {10 * CHUNK} /dev/zero; echo $! >&2"
    started = time.monotonic()
    completed = runner.run(shell(script), deadline=Deadline.after(20))
    os.kill(int(completed.stderr), signal.SIGKILL)
    # It writes faster than the output is read, so that there would be no end.
    assert completed.rc == 0 and time.monotonic() - started < 15


def test_output_is_read_before_the_deadline(
    runner: ProgramRunner, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        reply = usual({**arguments, "count": 1})
        return {**reply, "eof": False} if reply["count"] else reply

    # Any device that has no end and no size, and an agent that returns it byte by byte.
    monkeypatch.setattr(output_module, "_COLLECT_TIMEOUT", 0.5)
    guest.replace("guest-file-read", trickle)
    guest.replace("guest-file-seek", lambda usual, arguments: {"position": 0, "eof": False})
    started = time.monotonic()
    with pytest.raises(ProcessError, match="ended with the exit status 0, but its output could not be read in time"):
        runner.run(shell("head -c 10000000 /dev/zero"), deadline=Deadline.after(1.5))
    assert runner.rc == 0 and time.monotonic() - started < 10


def test_finished_spools_are_emptied_and_removed_on_close(runner: ProgramRunner) -> None:
    for dummy in range(3):
        runner.run(["head", "-c", "1000", "/dev/zero"], deadline=soon())
    sizes = sorted(path.stat().st_size for path in spools(runner) if path.suffix in (".out", ".err"))
    assert sizes == [0, 0, 0, 0, 0, 1000]
    runner.close()
    assert not spools(runner)
    runner.close()
    assert runner.run(["echo", "x"], deadline=soon()).stdout == b"x\n"


@pytest.mark.parametrize(
    "breaks",
    [
        lambda guest: guest.disabled.add("guest-exec"),
        lambda guest: guest.deliveries.append(lambda line: [b"x" + line]),
        lambda guest: guest.replace("guest-exec", lambda usual, arguments: {"pid": "x"}),
    ],
    ids=["disabled", "garbled", "lie"],
)
def test_close_warns_of_files_that_stay(
    agent: Agent, files: Files, guest: LocalGuest, breaks: t.Callable[[LocalGuest], object]
) -> None:
    warnings: list[str] = []
    runner = ProgramRunner(agent, files, warnings.append)
    runner.run(["true"], deadline=soon())
    breaks(guest)
    runner.close()
    assert len(warnings) == 1 and "are still in the guest, as /dev/shm/netless-qga." in warnings[0]
    runner.close()
    assert len(warnings) == 1
    for path in spools(runner):
        # The guest may be removing them after all.
        path.unlink(missing_ok=True)
