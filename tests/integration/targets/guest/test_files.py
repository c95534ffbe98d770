# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files import open_file
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, GuestFileTooLarge
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

NAMES = ["plain", "with space", "it's", 'say "x"', "汉语", "new\nline", "-leading-dash", "$HOME", "*"]


@pytest.mark.parametrize("name", NAMES)
def test_contents_survive_copying_in_and_out(
    files: Files, deadline: Deadline, tmp_path: pathlib.Path, name: str
) -> None:
    source, target = tmp_path / name, tmp_path / "back"
    source.write_bytes(os.urandom(3000))
    files.put(str(source), f"/tmp/{name}", deadline=deadline)
    files.get(f"/tmp/{name}", str(target), deadline=deadline)
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1])
def test_sizes_around_a_chunk(files: Files, deadline: Deadline, tmp_path: pathlib.Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    files.put(str(source), "/tmp/sized", deadline=deadline)
    files.get("/tmp/sized", str(target), deadline=deadline)
    assert target.read_bytes() == source.read_bytes()


def test_new_file_is_private_and_existing_one_keeps_its_mode(
    files: Files, runner: ProgramRunner, deadline: Deadline, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"shorter")
    prepare = "rm -f /tmp/new /tmp/old; echo something longer >/tmp/old; chmod 640 /tmp/old; ln -f /tmp/old /tmp/link"
    assert runner.run(["sh", "-c", prepare], deadline=deadline).rc == 0
    for name in ("new", "old"):
        files.put(str(source), f"/tmp/{name}", deadline=deadline)
    result = runner.run(["sh", "-c", "stat -c %a /tmp/new /tmp/old; cat /tmp/link"], deadline=deadline)
    assert result.stdout == b"600\n640\nshorter"


def test_unreadable_file_fails(files: Files, deadline: Deadline, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="the guest has no file /no/such"):
        files.get("/no/such", str(tmp_path / "target"), deadline=deadline)
    with pytest.raises(GuestFileError, match="cannot read /etc in the guest"):
        files.get("/etc", str(tmp_path / "target"), deadline=deadline)
    assert not list(tmp_path.iterdir())


def test_unwritable_file_fails(files: Files, deadline: Deadline, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    with pytest.raises(GuestFileError, match="cannot write /no/such/file in the guest"):
        files.put(str(source), "/no/such/file", deadline=deadline)
    with pytest.raises(GuestFileError, match="cannot write /dev/full in the guest"):
        files.put(str(source), "/dev/full", deadline=deadline)


def test_device_without_end_is_refused(
    files: Files, deadline: Deadline, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_file, "_MAX_UNSIZED", 4 * 1024 * 1024)
    with pytest.raises(GuestFileTooLarge, match=f"at most {4 * 1024 * 1024} are read"):
        files.get("/dev/zero", str(tmp_path / "zero"), deadline=deadline)
    assert not list(tmp_path.iterdir())


def test_file_that_has_no_size_is_read_whole(
    files: Files, runner: ProgramRunner, deadline: Deadline, tmp_path: pathlib.Path
) -> None:
    # Larger than a chunk, and of size 0.
    files.get("/proc/kallsyms", str(tmp_path / "symbols"), deadline=deadline)
    expected = runner.run(["sha256sum", "/proc/kallsyms"], deadline=deadline).stdout.split()[0].decode()
    assert (tmp_path / "symbols").stat().st_size > 2 * 1024 * 1024
    assert hashlib.sha256((tmp_path / "symbols").read_bytes()).hexdigest() == expected


def test_sparse_file_is_refused_before_it_is_copied(
    files: Files, runner: ProgramRunner, deadline: Deadline, tmp_path: pathlib.Path
) -> None:
    assert runner.run(["truncate", "-s", "50M", "/tmp/sparse"], deadline=deadline).rc == 0
    with pytest.raises(GuestFileTooLarge, match="has 52428800 bytes or more, and at most 9000000 are read"):
        files.get("/tmp/sparse", str(tmp_path / "sparse"), deadline=deadline, max_size=9_000_000)


def open_files(pid: int) -> set[str]:
    """Return the paths that a process has open, without sockets and pipes."""
    links = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        # The agent may close the socket of its last client at this moment.
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(link))
    return {link for link in links if link.startswith("/")}


def test_all_handles_are_closed(
    files: Files, runner: ProgramRunner, guest: SandboxedAgent, deadline: Deadline, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    before = open_files(guest.pid)
    files.put(str(source), "/tmp/file", deadline=deadline)
    files.get("/tmp/file", str(tmp_path / "target"), deadline=deadline)
    runner.run(["cat"], stdin=b"x" * 3_000_000, deadline=deadline)
    with pytest.raises(GuestFileError):
        files.put(str(source), "/dev/full", deadline=deadline)
    with pytest.raises(GuestFileError):
        files.get("/etc", str(tmp_path / "x"), deadline=deadline)
    assert open_files(guest.pid) == before


# Run in a separate process, since other tests have raised the peak memory of this one.
_COPY = """
import resource, sys
from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.files import open_file
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector

endpoint, source, target = sys.argv[1:]
agent = Agent(StreamChannel(parse_connector(endpoint)))
deadline = Deadline.after(600)
agent.info(deadline)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Files(agent).put(source, "/tmp/large", deadline=deadline)
Files(agent).get("/tmp/large", target, deadline=deadline)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
agent.close()
"""


@pytest.mark.parametrize("guest", ["bookworm"], indirect=True)
def test_copying_256_mib_takes_little_memory(guest: SandboxedAgent, tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for dummy in range(256):
            file.write(os.urandom(1024 * 1024))
    command = [sys.executable, "-c", _COPY, guest.endpoint, str(source), str(target)]
    grown = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert grown < 32 * 1024, f"{grown} KiB"
    with source.open("rb") as sent, target.open("rb") as received:
        assert hashlib.file_digest(sent, "sha256").digest() == hashlib.file_digest(received, "sha256").digest()
