# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The standard input that the launch script gives to the program."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import ExitReport
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, SPOOL_STDIN

from ..spool import NAME, Spool


def test_reads_large_standard_input_from_the_spool(spool: Spool) -> None:
    script = SPOOL_STDIN.replace(" ".join(BASES), str(spool.base))
    created = subprocess.run([*spool.shell, "-c", script, "sh", NAME], capture_output=True, timeout=60, check=True)
    assert created.stdout.decode() == f"{spool.base}\n"
    path = spool.base / f"{NAME}.in"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"\0 large \xff")
    assert spool.run(["cat"], stdin_spooled=True) == (0, b"\0 large \xff", b"")
    # An existing file is not overwritten.
    again = subprocess.run([*spool.shell, "-c", script, "sh", NAME], capture_output=True, timeout=60, check=False)
    assert again.returncode != 0 and path.read_bytes()


@pytest.mark.parametrize("spooled", [False, True])
def test_unpacks_standard_input(spool: Spool, spooled: bool) -> None:
    stdin = b"\0 standard\n input \xff" * 10_000
    sent = compression.compress(stdin)
    if spooled:
        (spool.base / f"{NAME}.in").write_bytes(sent)
        sent = b""
    argv = ["sh", "-c", "cat; exit 3"]
    assert spool.run(argv, sent, stdin_compressed=True, stdin_spooled=spooled) == (3, stdin, b"")
    if not spooled:
        spool.clear()
        # The program need not read it.
        assert spool.run(["sh", "-c", "exit 4"], sent, stdin_compressed=True) == (4, b"", b"")


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
@pytest.mark.parametrize("spooled", [False, True])
def test_answers_come_before_standard_input(spool: Spool, spooled: bool, compressed: bool) -> None:
    stdin = b"\0 standard\n input \xff"
    sent = compression.compress(stdin) if compressed else stdin
    if spooled:
        (spool.base / f"{NAME}.in").write_bytes(sent)
    argv = ["sh", "-c", 'read word; echo "<$word>"; cat']
    script = spool.script(argv, may_prompt=True, stdin_spooled=spooled, stdin_compressed=compressed)
    with subprocess.Popen(spool.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(script + (b"" if spooled else sent))
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
