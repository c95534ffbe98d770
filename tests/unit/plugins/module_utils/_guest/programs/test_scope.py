# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The move into a scope, with files instead of systemd's and the kernel's, in every shell on this machine."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script, scope

from ..spool import NAME, SHELLS, Spool

SERVICE = "0::/system.slice/qemu-guest-agent.service\n"
V1_SERVICE = "4:pids:/system.slice/qemu-guest-agent.service\n1:name=systemd:/system.slice/qemu-guest-agent.service\n"
MOVED = f"0::/system.slice/{NAME}.scope\n"

# What the launch script is when it runs the program.
PROGRAM = 'printf "%s|" "$@"; cat'

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an agent that is not root's does not ask systemd")


class Guest:
    """A guest's systemd and control groups, in a directory of this machine."""

    def __init__(self, directory: pathlib.Path, shell: list[str]) -> None:
        self.directory = directory
        self._shell = shell
        self.cgroup = directory / "cgroup"
        self.cgroup.write_text(SERVICE)
        self.slice = directory / "fs" / "system.slice"
        self.slice.mkdir(parents=True)
        (directory / "systemd").mkdir()
        (directory / "bin").mkdir()
        self.has_busctl(f"printf '%s' '{MOVED}' >{self.cgroup}")

    def has_busctl(self, script: str) -> None:
        """Provide a busctl that notes its arguments and standard input, and then runs a script."""
        program = self.directory / "bin" / "busctl"
        notes = self.directory / "asked"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >>{notes}\ncat >>{notes}\nls /proc/$$/fd >>{notes}\n{script}\n'
        )
        program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        """What busctl has noted."""
        notes = self.directory / "asked"
        return notes.read_text().splitlines() if notes.exists() else []

    def add_scope(self) -> pathlib.Path:
        """Create the control group of a scope, and return its file of processes."""
        processes = self.slice / "netless-qga.earlier.1.scope" / "cgroup.procs"
        processes.parent.mkdir()
        processes.touch()
        return processes

    def script(self, script: str) -> str:
        """Return a script, changed to use this directory."""
        for path, name in (
            ("/proc/$$/cgroup", "cgroup"),
            ("/run/systemd/system", "systemd"),
            ("/sys/fs/cgroup", "fs"),
        ):
            assert path in script
            script = script.replace(path, str(self.directory / name))
        return script

    def run(self) -> tuple[int, str, str]:
        """Run the move and then a program that shows its arguments and standard input."""
        script = f"s=/dev/shm/{NAME}\nset -C\nexec 3>&1 4<&0\n{self.script(scope.ENTER_SCOPE)}\nset -- $$ x;{PROGRAM}"
        with subprocess.Popen(
            [*self._shell, "-c", script],
            env={"PATH": f"{self.directory}/bin:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            stdout, stderr = process.communicate("input", 60)
            assert process.returncode == 0
            return process.pid, stdout, stderr


@pytest.fixture(name="guest", params=SHELLS, ids=" ".join)
def fixture_guest(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Guest:
    """Return a guest for each shell."""
    return Guest(tmp_path, request.param)


def check_program_ran_once(ran: tuple[int, str, str]) -> None:
    """Check that the program ran in the same process, with its standard input and without messages."""
    pid, stdout, stderr = ran
    assert (stdout, stderr) == (f"{pid}|x|input", "")


@needs_root
@pytest.mark.parametrize("cgroup", [SERVICE, V1_SERVICE], ids=["v2", "v1"])
def test_service_is_left_for_a_new_scope(guest: Guest, cgroup: str) -> None:
    guest.cgroup.write_text(cgroup)
    ran = guest.run()
    check_program_ran_once(ran)
    assert guest.asked[:8] == [
        "--timeout=10",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        f"{NAME}.scope",
    ]
    assert guest.asked[8:14] == ["fail", "3", "PIDs", "au", "1", str(ran[0])]
    # busctl has neither the program's input nor the descriptors of the script.
    assert "input" not in guest.asked and not {"3", "4"} & set(guest.asked[20:])


@needs_root
def test_waits_until_the_move_is_carried_out(guest: Guest) -> None:
    guest.has_busctl(f"(sleep 0.5; printf '%s' '{MOVED}' >{guest.cgroup}) >/dev/null 2>&1 &")
    ran = guest.run()
    check_program_ran_once(ran)
    assert guest.cgroup.read_text() == MOVED


@needs_root
def test_wait_for_the_move_is_bounded(guest: Guest) -> None:
    guest.has_busctl("exit 0")
    check_program_ran_once(guest.run())
    assert guest.asked.count("call") == 1


@needs_root
@pytest.mark.parametrize("busctl", ["echo denied >&2; exit 1", None, "kill -KILL $$"], ids=["denied", "none", "killed"])
def test_program_runs_where_it_is_if_there_can_be_no_scope(guest: Guest, busctl: str | None) -> None:
    if busctl is None:
        (guest.directory / "bin" / "busctl").unlink()
        (guest.directory / "bin" / "busctl").symlink_to("/nonexistent")
    else:
        guest.has_busctl(busctl)
    check_program_ran_once(guest.run())
    assert guest.cgroup.read_text() == SERVICE


@needs_root
def test_scope_of_an_earlier_program_is_joined(guest: Guest) -> None:
    processes = guest.add_scope()
    ran = guest.run()
    check_program_ran_once(ran)
    assert processes.read_text() == f"{ran[0]}\n"
    assert not guest.asked


@needs_root
def test_scope_that_has_just_ended_is_not_joined(guest: Guest) -> None:
    processes = guest.add_scope()
    processes.unlink()
    # The kernel creates no files in a control group, nor does a link to nowhere.
    processes.symlink_to("/nonexistent/file")
    check_program_ran_once(guest.run())
    assert guest.asked.count("call") == 1


@pytest.mark.parametrize(
    "cgroup",
    [
        "0::/user.slice/user-1000.slice/session-3.scope\n",
        f"0::/system.slice/{NAME}.scope\n",
        "0::/\n",
        "4:pids:/system.slice/qemu-guest-agent.service\n0::/\n",
        "",
        None,
    ],
)
def test_nothing_changes_outside_of_a_service(guest: Guest, cgroup: str | None) -> None:
    if cgroup is None:
        guest.cgroup.unlink()
    else:
        guest.cgroup.write_text(cgroup)
    processes = guest.add_scope()
    check_program_ran_once(guest.run())
    assert not guest.asked and not processes.read_text()


def test_nothing_changes_without_systemd(guest: Guest) -> None:
    (guest.directory / "systemd").rmdir()
    processes = guest.add_scope()
    check_program_ran_once(guest.run())
    assert not guest.asked and not processes.read_text()


def test_launch_script_moves_after_its_process_id_is_known(spool: Spool) -> None:
    lines: t.Sequence[str] = launch_script.launch_script(NAME, ["true"]).decode().splitlines()
    first, last = scope.ENTER_SCOPE.splitlines()[0], scope.ENTER_SCOPE.splitlines()[-1]
    # A program whose start reply was lost is found by this file, and every process of the program is in the scope.
    assert lines.index("echo $$ >&3") < lines.index(first) < lines.index(last) < lines.index("set -- true")
    assert spool.run(["true"]) == (0, b"", b"")
