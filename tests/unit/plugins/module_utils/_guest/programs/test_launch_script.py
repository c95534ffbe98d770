# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launch script, run by every shell on this machine."""

from __future__ import annotations

import os
import pathlib
import pwd
import random
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.termination import END_GROUP

from ..spool import NAME, Spool

ME = pwd.getpwuid(os.geteuid()).pw_name

SHOW_ARGUMENTS = "import os, sys; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))"

ARGUMENTS = [
    "",
    " ",
    "-n",
    "a b",
    "'",
    '"',
    "''\"\"'",
    "\\",
    "\\n\\c\\0",
    "\n",
    "\n\nlast\n",
    "\t\r\x01\x7f",
    "$HOME `id` $(id) ${x:-y}",
    "* ? [a] ~ {a,b} !",
    "; & && || # > <",
    "é 😀 \u2028",
    "EOF\n.\n",
    "--",
    "x" * 100_000,
]


def test_arguments_reach_the_program(spool: Spool) -> None:
    argv = [sys.executable, "-c", SHOW_ARGUMENTS, *ARGUMENTS]
    assert spool.run(argv) == (0, "|".join(ARGUMENTS).encode(), b"")


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(arguments=st.lists(TEXT, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_arguments_reach_the_program(spool: Spool, arguments: list[str]) -> None:
    spool.clear()
    argv = [sys.executable, "-S", "-E", "-c", SHOW_ARGUMENTS, *arguments]
    assert spool.run(argv) == (0, "|".join(arguments).encode(), b"")


INPUTS = {
    "none": b"",
    "one byte": b"x",
    "no LF at the end": b"no LF\nat the end",
    "every byte": bytes(range(256)) * 3,
    "blank lines": b"\n" * 10,
    "more than a pipe holds": random.Random(0).randbytes(300_000),
}


@pytest.mark.parametrize("stdin", INPUTS.values(), ids=INPUTS)
def test_standard_input_reaches_the_program(spool: Spool, stdin: bytes) -> None:
    assert spool.run(["cat"], stdin) == (0, stdin, b"")


@pytest.mark.parametrize(
    ("argv", "rc"),
    [
        (["sh", "-c", "exit 0"], 0),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["/nonexistent/program"], 127),
        (["/"], 126),
    ],
)
def test_reports_the_exit_status(spool: Spool, argv: list[str], rc: int) -> None:
    assert spool.run(argv)[0] == rc


def test_separates_standard_output_and_error(spool: Spool) -> None:
    assert spool.run(["sh", "-c", "echo out; echo err >&2"]) == (0, b"out\n", b"err\n")
    spool.clear()
    assert spool.run(["sh", "-c", "echo err >&2; exit 1"]) == (1, b"", b"err\n")


def test_spool_files_are_private(spool: Spool) -> None:
    spool.run(["sh", "-c", "echo out; echo err >&2"])
    modes = {path.name.rpartition(".")[2]: path.stat().st_mode & 0o777 for path in spool.base.iterdir()}
    assert modes == {"room": 0o600, "state": 0o600, "out": 0o600, "err": 0o600}


SHOW = 'echo "$HOME"; echo "$PATH"; pwd; umask; echo "${OLDPWD-unset}"; ls /proc/self/fd | wc -l'


@pytest.mark.parametrize("environment", [{}, {"HOME": "/"}, {"HOME": ""}])
def test_sets_the_environment_of_a_login(spool: Spool, environment: dict[str, str]) -> None:
    spool.shell = [str(shutil.which(spool.shell[0])), *spool.shell[1:]]
    out = spool.run(["/bin/sh", "-c", SHOW], environment=environment)[1]
    home, path, directory, umask, before, files = out.decode().splitlines()
    assert home == directory == os.path.expanduser(f"~{ME}")
    assert path
    assert int(umask, 8) == 0o22
    assert before == "unset"
    # ls has three files open, and the directory.
    assert files == "4"


def test_keeps_existing_environment(spool: Spool) -> None:
    spool.shell = [str(shutil.which(spool.shell[0])), *spool.shell[1:]]
    out = spool.run(["/bin/sh", "-c", SHOW], environment={"HOME": str(spool.base), "PATH": "/usr/bin:/bin"})[1]
    assert out.decode().splitlines()[:3] == [str(spool.base), "/usr/bin:/bin", str(spool.base)]
    spool.clear()
    out = spool.run(["/bin/sh", "-c", SHOW], environment={"HOME": str(spool.base), "PATH": ""})[1]
    assert out.decode().splitlines()[1] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_does_not_wait_for_background_processes(spool: Spool) -> None:
    rc, out, dummy = spool.run(["sh", "-c", "sleep 300 & echo $!"])
    os.kill(int(out), signal.SIGKILL)
    assert rc == 0


def test_runs_as_the_right_user_only(spool: Spool) -> None:
    completed = spool.launch(["touch", str(spool.base / "run")], user="nobody'; touch x; '")
    assert launch_script.parse_exit_report(completed.stdout) is None
    assert launch_script.parse_wrong_user(completed.stdout) == ME
    assert not list(spool.base.iterdir())
    assert spool.run(["echo", "run"], user=ME) == (0, b"run\n", b"")


@pytest.mark.parametrize(
    ("removed", "flags"), [(["out"], "Oe"), (["err"], "oE"), (["out", "err"], "OE"), (["state"], "oe")]
)
def test_reports_removed_output(spool: Spool, removed: list[str], flags: str) -> None:
    paths = " ".join(f"{spool.base}/{NAME}.{kind}" for kind in removed)
    completed = spool.launch(["sh", "-c", f"echo x; echo y >&2; rm {paths}"])
    assert completed.stdout == f"{spool.base} 0 {flags}.\n".encode()


def test_makes_no_files_when_they_were_removed(spool: Spool) -> None:
    spool.launch(["sh", "-c", f"rm {spool.base}/{NAME}.*"])
    assert not list(spool.base.iterdir())


def test_empties_the_spool_of_an_earlier_run(spool: Spool) -> None:
    for kind in ("out", "err", "in"):
        (spool.base / f"before.{kind}").write_bytes(b"large")
    spool.run(["true"], finished="before")
    assert [(spool.base / f"before.{kind}").read_bytes() for kind in ("out", "err", "in")] == [b"", b"", b""]
    spool.clear()
    (spool.base / "before.out").write_bytes(b"large")
    spool.run(["true"], finished="before")
    assert not (spool.base / "before.in").exists()


@pytest.mark.parametrize("kind", ["state", "out", "err"])
@pytest.mark.parametrize("link", [True, False])
def test_never_overwrites_existing_files(spool: Spool, kind: str, link: bool) -> None:
    precious = spool.base / "precious"
    precious.write_bytes(b"precious")
    trap = spool.base / f"{NAME}.{kind}"
    if link:
        trap.symlink_to(precious)
    else:
        shutil.copy(precious, trap)
    completed = spool.launch(["sh", "-c", "echo out; echo err >&2"])
    reported = launch_script.parse_exit_report(completed.stdout)
    assert reported is None or reported[1].rc != 0
    assert precious.read_bytes() == trap.read_bytes() == b"precious"


@pytest.mark.parametrize("argument", ["a\0b", "\ud800", "\udcff"])
def test_rejects_arguments_with_nul_or_surrogates(argument: str) -> None:
    for argv, user in (([argument], None), (["true", argument], None), (["true"], argument)):
        with pytest.raises(ValueError):
            launch_script.launch_script(NAME, argv, user=user)


def end_group(shell: list[str], program: str) -> int:
    """End a program that leads a process group, and return its exit status."""
    script = f"{program}; while :; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        command = [*shell, "-c", END_GROUP, "sh", str(process.pid)]
        with subprocess.Popen(command) as ending:
            # The process exists until its parent reaps it.
            status = process.wait(60)
            assert ending.wait(60) == 0
    # A group that has ended is no error.
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    return status


def test_ends_a_group_with_sigterm(spool: Spool) -> None:
    assert end_group(spool.shell, "trap 'exit 5' TERM; echo") == 5


def test_kills_a_group_that_ignores_sigterm() -> None:
    assert end_group(["sh"], "trap : TERM; echo") == -signal.SIGKILL


def test_guest_log_shows_the_same_line_for_every_program() -> None:
    # The agent logs the arguments of every program that it starts.
    assert shlex.quote("secret") not in launch_script.LOADER
    assert b"secret" in launch_script.launch_script(NAME, ["secret"])


def test_script_that_is_started_twice_runs_its_program_once(spool: Spool, tmp_path: pathlib.Path) -> None:
    runs, other = tmp_path / "runs", tmp_path / "other"
    other.mkdir()
    script = spool.script(["sh", "-c", 'echo x >>"$1"', "sh", str(runs)])
    script = script.replace(str(spool.base).encode(), f"{spool.base} {other}".encode(), 1)
    for dummy in range(2):
        subprocess.run(spool.command(), input=script, capture_output=True, timeout=60, check=True)
    assert runs.read_text(encoding="ascii") == "x\n"
    assert not list(other.iterdir())
    assert spool.read("state").endswith(b"0 .\n")
