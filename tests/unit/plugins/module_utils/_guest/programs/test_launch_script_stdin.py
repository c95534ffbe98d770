# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The standard input that the launch script gives to the program."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import ExitReport, StdinRoute
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import create_stdin

from ..spool import NAME, Spool


def test_reads_large_standard_input_from_the_spool(spool: Spool) -> None:
    script = create_stdin([str(spool.base)])
    created = subprocess.run([*spool.shell, "-c", script, "sh", NAME], capture_output=True, timeout=60, check=True)
    assert created.stdout.decode() == f"{spool.base}\n"
    path = spool.base / f"{NAME}.in"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"\0 large \xff")
    options: dict[str, t.Any] = {"stdin_route": StdinRoute.SPOOLED, "stdin_base": str(spool.base), "stdin_size": 9}
    assert spool.run(["cat"], **options) == (0, b"\0 large \xff", b"")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("left", [None, 0, 20])
def test_runs_nothing_without_the_whole_standard_input(spool: Spool, left: int | None, compressed: bool) -> None:
    sent = compression.compress(b"standard input" * 100)
    if left is not None:
        (spool.base / f"{NAME}.in").write_bytes(sent[:left])
    completed = spool.launch(
        ["touch", str(spool.base / "run")],
        stdin_route=StdinRoute.SPOOLED,
        stdin_base=str(spool.base),
        stdin_size=len(sent),
        stdin_compressed=compressed,
    )
    assert launch_script.reports_no_stdin(completed.stdout)
    assert not (spool.base / "run").exists()
    assert not launch_script.reports_no_stdin(b"no stdin")


@pytest.mark.parametrize("route", StdinRoute)
def test_unpacks_standard_input(spool: Spool, route: StdinRoute) -> None:
    stdin = b"\0 standard\n input \xff" * 10_000
    sent = compression.compress(stdin)
    options: dict[str, t.Any] = {"stdin_compressed": True, "stdin_route": route, "stdin_base": str(spool.base)}
    if route is StdinRoute.SPOOLED:
        (spool.base / f"{NAME}.in").write_bytes(sent)
        options["stdin_size"], sent = len(sent), b""
    argv = ["sh", "-c", "cat; exit 3"]
    assert spool.run(argv, sent, **options) == (3, stdin, b"")
    if route is not StdinRoute.SPOOLED:
        spool.clear()
        # The program need not read it.
        assert spool.run(["sh", "-c", "exit 4"], sent, stdin_compressed=True, stdin_route=route) == (4, b"", b"")


def test_saves_standard_input_before_the_program_starts(spool: Spool) -> None:
    stdin = os.urandom(300_000)
    argv = ["sh", "-c", 'cat "$1"', "sh", str(spool.base / f"{NAME}.in")]
    assert spool.run(argv, stdin, stdin_route=StdinRoute.SAVED) == (0, stdin, b"")
    assert (spool.base / f"{NAME}.in").stat().st_mode & 0o777 == 0o600


def write_to_the_end(spool: Spool, stdin: bytes, argv: t.Sequence[str] = ("true",), **options: t.Any) -> int:
    """Write a script and its standard input as the agent does, and return the script's exit status.

    :raises BrokenPipeError: the script ended before it had read everything. An agent would be left spinning.
    """
    environment = options.pop("environment", {"PATH": os.environ["PATH"]})
    with subprocess.Popen(
        spool.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        bufsize=0,
        start_new_session=True,
    ) as process:
        assert process.stdin
        unwritten = memoryview(spool.script(argv, stdin_route=StdinRoute.SAVED, **options) + stdin)
        while unwritten:
            unwritten = unwritten[process.stdin.write(unwritten) :]
        process.stdin.close()
        status = process.wait(60)
        # A script that was killed has left what feeds its program.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return status


LARGE = b"x" * (3 * launch_script.PIPE_CAPACITY)


@pytest.mark.parametrize(
    "argv", [["true"], ["/no/such/program"], ["sh", "-c", "kill -s KILL $PPID"], ["sh", "-c", "kill -s KILL 0"]]
)
@pytest.mark.parametrize("may_prompt", [False, True])
def test_reads_all_standard_input_however_the_program_ends(spool: Spool, argv: list[str], may_prompt: bool) -> None:
    write_to_the_end(spool, LARGE, argv, may_prompt=may_prompt)


def test_reads_all_standard_input_if_nothing_is_run(spool: Spool) -> None:
    assert write_to_the_end(spool, LARGE, user="nobody at all") == 0
    spool.clear()
    assert write_to_the_end(spool, b"not compressed" * 20_000, stdin_compressed=True) != 0
    spool.clear()
    # The file exists already, and the script does not overwrite another one's.
    (spool.base / f"{NAME}.in").write_bytes(b"")
    assert write_to_the_end(spool, LARGE) != 0


def test_reads_all_standard_input_without_gzip(spool: Spool) -> None:
    bin_directory = spool.base / "bin"
    bin_directory.mkdir()
    for program in ("cat", spool.shell[0]):
        (bin_directory / program).symlink_to(t.cast(str, shutil.which(program)))
    write_to_the_end(spool, LARGE, stdin_compressed=True, environment={"PATH": str(bin_directory)})


def test_runs_nothing_without_gzip(spool: Spool) -> None:
    bin_directory = spool.base / "bin"
    bin_directory.mkdir()
    for program in ("touch", spool.shell[0]):
        (bin_directory / program).symlink_to(t.cast(str, shutil.which(program)))
    completed = spool.launch(
        ["touch", str(spool.base / "run")], environment={"PATH": str(bin_directory)}, stdin_compressed=True
    )
    # BusyBox has a built-in gzip.
    if spool.shell[0] != "busybox":
        assert launch_script.reports_no_gzip(completed.stdout)
        assert not (spool.base / "run").exists()
    assert not launch_script.reports_no_gzip(b"no gzip")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("route", StdinRoute)
def test_answers_come_before_standard_input(spool: Spool, route: StdinRoute, compressed: bool) -> None:
    stdin = b"\0 standard\n input \xff"
    sent = compression.compress(stdin) if compressed else stdin
    if route is StdinRoute.SPOOLED:
        (spool.base / f"{NAME}.in").write_bytes(sent)
    argv = ["sh", "-c", 'read word; echo "<$word>"; cat']
    options: dict[str, t.Any] = {"may_prompt": True, "stdin_route": route, "stdin_compressed": compressed}
    script = spool.script(argv, **options, stdin_base=str(spool.base), stdin_size=len(sent))
    with subprocess.Popen(spool.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(script + (b"" if route is StdinRoute.SPOOLED else sent))
        process.stdin.close()
        while not (spool.base / f"{NAME}.say").exists():
            assert process.poll() is None
        (spool.base / f"{NAME}.say").write_bytes(b"secret\n")
        reported = launch_script.parse_exit_report(process.stdout.read())
    assert reported == (str(spool.base), ExitReport(0, ("out",)))
    assert spool.read("out") == b"<secret>\n" + stdin


def test_ends_with_a_program_that_reads_no_answer(spool: Spool) -> None:
    assert spool.run(["sh", "-c", "exit 4"], b"ignored", may_prompt=True)[0] == 4
    spool.clear()
    assert (
        spool.run(["sh", "-c", "exit 4"], compression.compress(b"ignored"), may_prompt=True, stdin_compressed=True)[0]
        == 4
    )
