# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests whose file systems for temporary files are full: no output is lost without an error."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.environment import environment
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import Context
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import end_servers
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, ProcessError
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import build
from ansible_collections.netless.qga.tests.guests.warm_guest import PYTHON, WarmGuest, ansiballz, command

SUITE = "bookworm"
KIB = 1024


def resize(sandbox: SandboxedAgent, base: str, size: int) -> None:
    """Change the size of a tmpfs of the guest, in bytes."""
    enter = ["nsenter", f"--target={sandbox.pid}", "--mount", "--root", "--wd=/"]
    subprocess.run([*enter, "mount", "-o", f"remount,size={size}", base], check=True)


@pytest.fixture(name="guest", scope="session")
def fixture_guest() -> t.Iterator[SandboxedAgent]:
    """Provide a guest that no other test uses."""
    with SandboxedAgent(build(SUITE)) as sandbox:
        yield sandbox


def inside(sandbox: SandboxedAgent, path: str) -> pathlib.Path:
    """Return a path of the guest as this machine sees it."""
    return pathlib.Path(f"/proc/{sandbox.pid}/root{path}")


def fill(sandbox: SandboxedAgent, *bases: str, room: int = 0) -> None:
    """Fill file systems of the guest.

    :param room: how many bytes to leave in each.
    """
    for base in bases:
        resize(sandbox, base, 4 * KIB * KIB)
        path = inside(sandbox, f"{base}/fill")
        with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4 * KIB))
        os.truncate(path, path.stat().st_size - room)


def empty(sandbox: SandboxedAgent) -> None:
    """Undo :func:`fill`."""
    for base in BASES:
        resize(sandbox, base, 64 * KIB * KIB)
        inside(sandbox, f"{base}/fill").unlink(missing_ok=True)


def left(sandbox: SandboxedAgent) -> list[str]:
    """Return the files that programs have left."""
    return [path.name for base in BASES for path in inside(sandbox, base).glob("netless-qga.*")]


@pytest.fixture
def warm(guest: SandboxedAgent, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[WarmGuest]:
    """Provide the guest with room in all its file systems, and check that nothing is left there at the end."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(warm_runner, "LINGER", 2)
    empty(guest)
    warm = WarmGuest(guest)
    yield warm
    empty(guest)
    end_servers(guest.endpoint, warm.agent)
    warm.wait_until_nothing_is_left()
    warm.programs.close()
    warm.agent.close()
    assert not left(guest)


def run(warm: WarmGuest, script: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a shell script, and return its exit status and output."""
    completed = warm.programs.run(["/bin/sh", "-c", script], stdin=stdin, deadline=Deadline.after(60))
    return completed.rc, completed.stdout, completed.stderr


def finding(warm: WarmGuest) -> tuple[str, str]:
    """Return the status and the message of the diagnosis of the spool."""
    context = Context(warm.agent, timeout=30)
    found = next(found for found in environment(context) if found.check == "spool")
    return found.status, found.message


def test_next_directory_with_room_takes_the_output(guest: SandboxedAgent, warm: WarmGuest) -> None:
    fill(guest, BASES[0])
    assert run(warm, "head -c 100000 /dev/zero; echo err >&2; exit 3") == (3, bytes(100_000), b"err\n")
    assert warm.result(command("echo out"))["stdout"] == "out"
    assert len(list(inside(guest, BASES[1]).glob("netless-qga.*.warm"))) == 1
    assert finding(warm) == ("warning", f"The output of programs is kept in {BASES[1]}, because {BASES[0]} is full")


def test_agent_that_cannot_keep_its_state_opens_no_file(guest: SandboxedAgent, warm: WarmGuest) -> None:
    fill(guest, *BASES[:2])
    assert run(warm, "touch /root/ran; exit 3") == (3, b"", b"")
    with pytest.raises(GuestFileError, match=r"persistent state to disk. Is /run in the guest full\?"):
        run(warm, "echo out")


def test_nothing_runs_without_room(guest: SandboxedAgent, warm: WarmGuest) -> None:
    fill(guest, *BASES)
    for stdin in (b"", b"x" * 100_000):
        with pytest.raises(ProcessError, match="was not started: neither /dev/shm, /run nor /tmp in the guest can be"):
            run(warm, "touch /root/never", stdin)
    assert not inside(guest, "/root/never").exists() and not warm.programs.may_have_run
    assert finding(warm)[0] == "problem"


@pytest.mark.parametrize("script", ["head -c 300000 /dev/zero; exit 0", "dd if=/dev/zero bs=300000 count=1; exit 0"])
def test_lost_output_is_an_error(guest: SandboxedAgent, warm: WarmGuest, script: str) -> None:
    fill(guest, BASES[0], room=100 * KIB)
    with pytest.raises(ProcessError, match="exit status 0, but its output may be incomplete: /dev/shm in the guest is"):
        run(warm, script)
    assert warm.programs.may_have_run
    assert run(warm, "echo next") == (0, b"next\n", b"")


def test_lost_output_of_a_module_is_an_error(guest: SandboxedAgent, warm: WarmGuest) -> None:
    assert warm.result(ansiballz("ping"))["ping"] == "pong"
    fill(guest, BASES[0], room=100 * KIB)
    with pytest.raises(ProcessError, match="but its output may be incomplete: /dev/shm in the guest is full"):
        warm.run(command("head -c 300000 /dev/zero"))


def test_module_runs_once_if_its_server_has_no_room(guest: SandboxedAgent, warm: WarmGuest) -> None:
    assert warm.result(ansiballz("ping"))["ping"] == "pong"
    fill(guest, BASES[0])
    payload = command("echo ran >>/root/times; echo out")
    completed = warm.run(payload) or warm.programs.run([PYTHON], stdin=payload, deadline=Deadline.after(60))
    assert json.loads(completed.stdout)["stdout"] == "out"
    assert inside(guest, "/root/times").read_text(encoding="ascii") == "ran\n"


def test_standard_input_goes_where_there_is_room(guest: SandboxedAgent, warm: WarmGuest) -> None:
    stdin = os.urandom(3_000_000)
    fill(guest, BASES[0], room=200 * KIB)
    assert run(warm, "sha256sum", stdin)[1].split()[0] == hashlib.sha256(stdin).hexdigest().encode()
    assert run(warm, "sha256sum", stdin[:900_000])[1].split()[0] == hashlib.sha256(stdin[:900_000]).hexdigest().encode()


def test_copy_needs_no_room(guest: SandboxedAgent, warm: WarmGuest, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"".join(b"line %d\n" % number for number in range(1_000_000)))
    for full in (1, 3):
        fill(guest, *BASES[:full], room=100 * KIB)
        warm.files.put(str(source), "/root/copied", deadline=Deadline.after(60))
        assert inside(guest, "/root/copied").read_bytes() == source.read_bytes()
