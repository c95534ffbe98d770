# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that runs programs, run by the shells that are here, and what is made of what it says."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import random
import shlex
import shutil
import signal
import string
import subprocess
import sys
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils.guest import launcher
from ansible_collections.netless.qga.plugins.module_utils.guest.launcher import Ended

# Those that are /bin/sh somewhere, as they are then.
SHELLS = [
    command
    for command in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"], ["mksh"])
    if shutil.which(command[0])
]

NAME = "netless-qga.run.1"
ME = pwd.getpwuid(os.geteuid()).pw_name


class Spool:
    """A directory in place of the guest's, and the shell that runs the script."""

    def __init__(self, base: pathlib.Path, shell: list[str]) -> None:
        self.base = base
        self.shell = shell

    def script(self, argv: t.Sequence[str], **options: t.Any) -> bytes:
        """The launch script, for this directory."""
        usual: dict[str, t.Any] = {"finished": None, "stdin_spooled": False, "asks": False, "user": None}
        script = launcher.launch_script(NAME, argv, **{**usual, **options})
        return script.replace(" ".join(launcher.BASES).encode(), str(self.base).encode())

    def command(self) -> list[str]:
        """What the agent is asked to run."""
        return [*self.shell, "-c", launcher.LOADER]

    def launch(
        self,
        argv: t.Sequence[str],
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        **options: t.Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program as the agent would; what it gives is the script's end, not the program's."""
        environment = {"PATH": os.environ["PATH"]} if environment is None else environment
        return subprocess.run(
            self.command(),
            input=self.script(argv, **options) + stdin,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def run(self, argv: t.Sequence[str], stdin: bytes = b"", **options: t.Any) -> tuple[int, bytes, bytes]:
        """The same, and gives what the program did."""
        done = self.launch(argv, stdin, **options)
        assert done.returncode == 0
        told = launcher.parse_told(done.stdout)
        assert told is not None and told[0] == str(self.base)
        state = launcher.parse_state(self.read("state"))
        assert state is not None and state[1] == told[1]
        outputs = {kind: self.read(kind) for kind in ("out", "err")}
        assert told[1].streams == tuple(kind for kind, output in outputs.items() if output)
        return told[1].rc, outputs["out"], outputs["err"]

    def read(self, kind: str) -> bytes:
        """A file of the spool."""
        return (self.base / f"{NAME}.{kind}").read_bytes()

    def clear(self) -> None:
        """Makes room for the next run."""
        for path in self.base.iterdir():
            path.unlink()


@pytest.fixture(name="base")
def fixture_base() -> t.Iterator[pathlib.Path]:
    """A directory whose name is like those of the guest's."""
    base = pathlib.Path("/tmp/netless") / "".join(random.choices(string.ascii_lowercase, k=16))
    base.mkdir(parents=True)
    yield base
    shutil.rmtree(base)
    with contextlib.suppress(OSError):
        base.parent.rmdir()


@pytest.fixture(name="spool", params=SHELLS, ids=" ".join)
def fixture_spool(request: pytest.FixtureRequest, base: pathlib.Path) -> Spool:
    """A spool, with each shell."""
    return Spool(base, request.param)


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


def test_passes_on_arguments(spool: Spool) -> None:
    argv = [sys.executable, "-c", SHOW_ARGUMENTS, *ARGUMENTS]
    assert spool.run(argv) == (0, "|".join(ARGUMENTS).encode(), b"")


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(arguments=st.lists(TEXT, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_passes_on_any_arguments(spool: Spool, arguments: list[str]) -> None:
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
def test_passes_on_standard_input(spool: Spool, stdin: bytes) -> None:
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
def test_tells_how_the_program_ended(spool: Spool, argv: list[str], rc: int) -> None:
    assert spool.run(argv)[0] == rc


def test_keeps_both_outputs_apart(spool: Spool) -> None:
    assert spool.run(["sh", "-c", "echo out; echo err >&2"]) == (0, b"out\n", b"err\n")
    spool.clear()
    assert spool.run(["sh", "-c", "echo err >&2; exit 1"]) == (1, b"", b"err\n")


def test_keeps_everything_to_the_user(spool: Spool) -> None:
    spool.run(["sh", "-c", "echo out; echo err >&2"])
    modes = {path.name.rpartition(".")[2]: path.stat().st_mode & 0o777 for path in spool.base.iterdir()}
    assert modes == {"state": 0o600, "out": 0o600, "err": 0o600}


SHOW = 'echo "$HOME"; echo "$PATH"; pwd; umask; echo "${OLDPWD-unset}"; ls /proc/self/fd | wc -l'


@pytest.mark.parametrize("environment", [{}, {"HOME": "/"}, {"HOME": ""}])
def test_makes_an_environment_like_that_of_a_login(spool: Spool, environment: dict[str, str]) -> None:
    spool.shell = [str(shutil.which(spool.shell[0])), *spool.shell[1:]]
    out = spool.run(["/bin/sh", "-c", SHOW], environment=environment)[1]
    home, path, directory, umask, before, files = out.decode().splitlines()
    assert home == directory == os.path.expanduser(f"~{ME}")
    assert path
    assert int(umask, 8) == 0o22
    assert before == "unset"
    # What ls has open: three, and the directory.
    assert files == "4"


def test_keeps_the_environment_that_there_is(spool: Spool) -> None:
    spool.shell = [str(shutil.which(spool.shell[0])), *spool.shell[1:]]
    out = spool.run(["/bin/sh", "-c", SHOW], environment={"HOME": str(spool.base), "PATH": "/usr/bin:/bin"})[1]
    assert out.decode().splitlines()[:3] == [str(spool.base), "/usr/bin:/bin", str(spool.base)]
    spool.clear()
    out = spool.run(["/bin/sh", "-c", SHOW], environment={"HOME": str(spool.base), "PATH": ""})[1]
    assert out.decode().splitlines()[1] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_does_not_wait_for_what_stays_in_the_background(spool: Spool) -> None:
    rc, out, dummy = spool.run(["sh", "-c", "sleep 300 & echo $!"])
    os.kill(int(out), signal.SIGKILL)
    assert rc == 0


def test_reads_large_standard_input_from_the_spool(spool: Spool) -> None:
    script = launcher.SPOOL_STDIN.replace(" ".join(launcher.BASES), str(spool.base))
    made = subprocess.run([*spool.shell, "-c", script, "sh", NAME], capture_output=True, timeout=60, check=True)
    assert made.stdout.decode() == f"{spool.base}\n"
    path = spool.base / f"{NAME}.in"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"\0 large \xff")
    assert spool.run(["cat"], stdin_spooled=True) == (0, b"\0 large \xff", b"")
    # Not over what is there.
    again = subprocess.run([*spool.shell, "-c", script, "sh", NAME], capture_output=True, timeout=60, check=False)
    assert again.returncode != 0 and path.read_bytes()


@pytest.mark.parametrize("spooled", [False, True])
def test_says_something_to_the_program_before_its_standard_input(spool: Spool, spooled: bool) -> None:
    stdin = b"\0 standard\n input \xff"
    if spooled:
        (spool.base / f"{NAME}.in").write_bytes(stdin)
    script = spool.script(["sh", "-c", 'read word; echo "<$word>"; cat'], asks=True, stdin_spooled=spooled)
    with subprocess.Popen(spool.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(script + (b"" if spooled else stdin))
        process.stdin.close()
        while not (spool.base / f"{NAME}.say").exists():
            assert process.poll() is None
        (spool.base / f"{NAME}.say").write_bytes(b"secret\n")
        told = launcher.parse_told(process.stdout.read())
    assert told == (str(spool.base), Ended(0, ("out",)))
    assert spool.read("out") == b"<secret>\n" + stdin


def test_ends_with_a_program_that_does_not_listen(spool: Spool) -> None:
    assert spool.run(["sh", "-c", "exit 4"], b"ignored", asks=True)[0] == 4


def test_runs_as_the_right_user_only(spool: Spool) -> None:
    done = spool.launch(["touch", str(spool.base / "run")], user="nobody'; touch x; '")
    assert launcher.parse_told(done.stdout) is None
    assert launcher.parse_wrong_user(done.stdout) == ME
    assert not list(spool.base.iterdir())
    assert spool.run(["echo", "run"], user=ME) == (0, b"run\n", b"")


def test_empties_what_an_earlier_run_left(spool: Spool) -> None:
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
def test_writes_over_nothing(spool: Spool, kind: str, link: bool) -> None:
    precious = spool.base / "precious"
    precious.write_bytes(b"precious")
    trap = spool.base / f"{NAME}.{kind}"
    if link:
        trap.symlink_to(precious)
    else:
        shutil.copy(precious, trap)
    done = spool.launch(["sh", "-c", "echo out; echo err >&2"])
    told = launcher.parse_told(done.stdout)
    assert told is None or told[1].rc != 0
    assert precious.read_bytes() == trap.read_bytes() == b"precious"


@pytest.mark.parametrize("argument", ["a\0b", "\ud800", "\udcff"])
def test_refuses_arguments_that_cannot_be_passed_on(argument: str) -> None:
    for argv, user in (([argument], None), (["true", argument], None), (["true"], argument)):
        with pytest.raises(ValueError):
            launcher.launch_script(NAME, argv, finished=None, stdin_spooled=False, asks=False, user=user)


def end_group(shell: list[str], program: str) -> int:
    """Ends a program that leads a group; gives what it ended with."""
    script = f"{program}; while :; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        command = [*shell, "-c", launcher.END_GROUP, "sh", str(process.pid)]
        with subprocess.Popen(command) as ending:
            # Until somebody asks how it ended it is still there.
            status = process.wait(60)
            assert ending.wait(60) == 0
    # One that is gone is no error.
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    return status


def test_ends_a_group(spool: Spool) -> None:
    assert end_group(spool.shell, "trap 'exit 5' TERM; echo") == 5


def test_ends_a_group_that_does_not_want_to() -> None:
    assert end_group(["sh"], "trap : TERM; echo") == -signal.SIGKILL


def test_removes_the_spools_of_a_connection_only(spool: Spool) -> None:
    for name in ("prefix.1.out", "prefix.1.state", "prefix.22.in", "prefixed.1.out", "other"):
        (spool.base / name).touch()
    script = launcher.REMOVE
    for base in launcher.BASES:
        script = script.replace(f'{base}/"$1"', f'{spool.base}/"$1"')
    subprocess.run([*spool.shell, "-c", script, "sh", "prefix"], timeout=60, check=True)
    assert {path.name for path in spool.base.iterdir()} == {"prefixed.1.out", "other"}


def test_shows_the_guest_the_same_line_for_every_program() -> None:
    # The agent logs the arguments of every program that it starts.
    assert shlex.quote("secret") not in launcher.LOADER
    assert b"secret" in launcher.launch_script(
        NAME, ["secret"], finished=None, stdin_spooled=False, asks=False, user=None
    )
