# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in the guest: complete or not at all, however the agent behaves."""

from __future__ import annotations

import base64
import os
import pathlib
import re
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files import files as files_module
from ansible_collections.netless.qga.plugins.module_utils._guest.files import open_file as open_file_module
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    CommandDisabled,
    GuestFileError,
    GuestFileTooLarge,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply

from ..conftest import CHUNK
from ..local_guest import LocalGuest

Usual = t.Callable[[t.Any], t.Any]


def soon() -> Deadline:
    """Return a deadline that no test here reaches."""
    return Deadline.after(30)


@pytest.fixture(name="local")
def fixture_local(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory of the controller."""
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


@pytest.fixture(name="remote")
def fixture_remote(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory of the guest."""
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 10 * CHUNK + 7]


@pytest.mark.parametrize("size", SIZES)
def test_files_can_have_any_size(files: Files, local: pathlib.Path, remote: pathlib.Path, size: int) -> None:
    content = os.urandom(size)
    (local / "source").write_bytes(content)
    there = str(remote / "-n 'odd\" näme\n")
    files.put(str(local / "source"), there, deadline=soon())
    assert pathlib.Path(there).read_bytes() == content
    files.get(there, str(local / "back"), deadline=soon())
    assert (local / "back").read_bytes() == content


@pytest.fixture(name="compress_small_files")
def fixture_compress_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compress small files too, in several segments."""
    monkeypatch.setattr(compression, "MIN_SAVING", 100)
    monkeypatch.setattr(files_module, "_SEGMENT", 5 * CHUNK)


def test_progress_of_copies_is_reported(files: Files, local: pathlib.Path, remote: pathlib.Path) -> None:
    (local / "source").write_bytes(os.urandom(2 * CHUNK + 1))
    sent: list[int] = []
    files.put(str(local / "source"), str(remote / "there"), deadline=soon(), progress=sent.append)
    assert sent == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]
    received: list[int] = []
    files.get(str(remote / "there"), str(local / "back"), deadline=soon(), progress=received.append)
    assert received == sorted(set(received))
    assert received[-1] == 2 * CHUNK + 1


@pytest.mark.usefixtures("compress_small_files")
def test_progress_of_compressed_copies_counts_uncompressed_bytes(
    files: Files, local: pathlib.Path, remote: pathlib.Path
) -> None:
    (local / "source").write_bytes(b"x" * (12 * CHUNK))
    sent: list[int] = []
    files.put(str(local / "source"), str(remote / "there"), deadline=soon(), progress=sent.append)
    assert sent == [5 * CHUNK, 10 * CHUNK, 12 * CHUNK]


@pytest.mark.usefixtures("compress_small_files")
@pytest.mark.parametrize("size", [5 * CHUNK - 1, 5 * CHUNK, 5 * CHUNK + 1, 17 * CHUNK])
def test_compresses_compressible_files(
    files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path, size: int
) -> None:
    content = (b"some text " * size)[:size]
    (local / "source").write_bytes(content)
    (remote / "there").write_bytes(b"before" * size)
    for name, mode in (("-n 'odd\" name\n", 0o600), ("there", 0o644)):
        files.put(str(local / "source"), str(remote / name), deadline=soon())
        assert (remote / name).read_bytes() == content
        assert (remote / name).stat().st_mode & 0o777 == mode
    sent = sum(len(base64.b64decode(call["buf-b64"])) for call in guest.calls("guest-file-write"))
    assert 0 < sent < size
    assert not left_behind(guest)


@pytest.mark.usefixtures("compress_small_files")
def test_sends_uncompressed_to_a_guest_without_gzip(
    files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path
) -> None:
    (remote / "sh").symlink_to("/bin/sh")
    guest.replace("guest-exec", lambda usual, arguments: usual({**arguments, "env": [f"PATH={remote}"]}))
    (local / "source").write_bytes(b"some text " * CHUNK)
    files.put(str(local / "source"), str(remote / "there"), deadline=soon())
    assert (remote / "there").read_bytes() == b"some text " * CHUNK
    assert len(guest.calls("guest-exec")) == 2


@pytest.mark.usefixtures("compress_small_files")
@pytest.mark.parametrize("fails", ["guest-file-open", "guest-file-write", "guest-file-flush", "guest-exec-status"])
def test_removes_the_compressed_file_after_an_error(
    files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path, fails: str
) -> None:
    (local / "source").write_bytes(b"some text " * CHUNK)

    def fail_later(usual: Usual, arguments: t.Any) -> t.Any:
        if fails == "guest-exec-status":
            reply = usual(arguments)
            unpacks = "gzip -dc" in str(guest.calls("guest-exec")[-1])
            return {**reply, "exitcode": 1, "err-data": "ZnVsbAo="} if unpacks and reply["exited"] else reply
        if len(guest.calls(fails)) == 2:
            raise ErrorReply("full")
        return usual(arguments)

    guest.replace(fails, fail_later)
    with pytest.raises(GuestFileError, match=r"in the guest: full"):
        files.put(str(local / "source"), str(remote / "there"), deadline=soon())
    assert not left_behind(guest)


def left_behind(guest: LocalGuest) -> list[pathlib.Path]:
    """Return the compressed files that this test has left, and not those of tests that run in parallel."""
    names = set(re.findall(r"netless-qga\.[0-9a-f]{32}", str(guest.calls("guest-exec"))))
    assert names
    return [path for base in BASES for name in names if (path := pathlib.Path(base, name)).is_file()]


def test_new_files_are_private_and_existing_ones_keep_their_mode(
    files: Files, local: pathlib.Path, remote: pathlib.Path
) -> None:
    (local / "source").write_bytes(b"new")
    (remote / "old").write_bytes(b"something longer")
    (remote / "old").chmod(0o640)
    (remote / "link").symlink_to("old")
    files.put(str(local / "source"), str(remote / "new"), deadline=soon())
    files.put(str(local / "source"), str(remote / "link"), deadline=soon())
    assert (remote / "new").stat().st_mode & 0o777 == 0o600
    assert (remote / "old").stat().st_mode & 0o777 == 0o640
    assert (remote / "old").read_bytes() == b"new"


def test_error_names_the_file_that_cannot_be_written(files: Files, local: pathlib.Path, remote: pathlib.Path) -> None:
    (local / "source").write_bytes(b"new")
    with pytest.raises(GuestFileError, match=f"cannot write {remote}/no/x in the guest: .*[Nn]o such|nonexistent"):
        files.put(str(local / "source"), str(remote / "no" / "x"), deadline=soon())
    with pytest.raises(FileNotFoundError):
        files.put(str(local / "missing"), str(remote / "x"), deadline=soon())
    assert not list(remote.iterdir())


def test_missing_and_unreadable_files_are_different_errors(
    files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path
) -> None:
    with pytest.raises(FileNotFoundError, match="the guest has no file"):
        files.get(str(remote / "missing"), str(local / "x"), deadline=soon())
    with pytest.raises(GuestFileError, match=r"cannot read .* in the guest: failed to read file: Is a directory"):
        files.get(str(remote), str(local / "x"), deadline=soon())

    def refuse(arguments: t.Any) -> t.NoReturn:
        raise ErrorReply("failed to open file: Keine Berechtigung")

    guest.handlers["guest-file-open"] = refuse
    with pytest.raises(GuestFileError, match=f"cannot open {remote} in the guest: .*Keine Berechtigung"):
        files.get(str(remote), str(local / "x"), deadline=soon())
    assert not list(local.iterdir())


def test_blocked_command_is_not_a_file_error(files: Files, guest: LocalGuest, local: pathlib.Path) -> None:
    guest.disabled.add("guest-file-open")
    with pytest.raises(CommandDisabled):
        files.get("/etc/hostname", str(local / "x"), deadline=soon())


def refuse_with(text: str) -> t.Callable[[Usual, t.Any], t.Any]:
    def refuse(usual: Usual, arguments: t.Any) -> t.NoReturn:
        raise ErrorReply(text)

    return refuse


BROKEN_READS: dict[str, tuple[t.Callable[[Usual, t.Any], t.Any], type[Exception]]] = {
    "wrong count": (lambda usual, arguments: {**usual(arguments), "count": 3}, ProtocolViolation),
    "too much": (lambda usual, arguments: usual({**arguments, "count": CHUNK + 1}), ProtocolViolation),
    "neither data nor end": (lambda usual, arguments: {"count": 0, "buf-b64": "", "eof": False}, ProtocolViolation),
    "no base64": (lambda usual, arguments: {**usual(arguments), "buf-b64": "%%%"}, ProtocolViolation),
    "no data": (lambda usual, arguments: {"count": 0, "eof": True}, ProtocolViolation),
    "no end": (lambda usual, arguments: {"count": 0, "buf-b64": ""}, ProtocolViolation),
    "end is no boolean": (lambda usual, arguments: {**usual(arguments), "eof": "no"}, ProtocolViolation),
    "no object": (lambda usual, arguments: 5, ProtocolViolation),
    "an error": (refuse_with("failed to read file: Input/output error"), GuestFileError),
    "no reply": (lambda usual, arguments: NO_REPLY, OutcomeUnknown),
}


@pytest.mark.parametrize(("change", "error"), BROKEN_READS.values(), ids=BROKEN_READS)
@pytest.mark.parametrize("first_good", [0, 2])
def test_incomplete_file_is_not_kept(
    files: Files,
    guest: LocalGuest,
    local: pathlib.Path,
    remote: pathlib.Path,
    change: t.Callable[[Usual, t.Any], t.Any],
    error: type[Exception],
    first_good: int,
) -> None:
    (remote / "source").write_bytes(b"x" * 4 * CHUNK)
    (local / "target").write_bytes(b"old")

    def after_some(usual: Usual, arguments: t.Any) -> t.Any:
        good = len(guest.calls("guest-file-read")) <= first_good
        return usual(arguments) if good else change(usual, arguments)

    guest.replace("guest-file-read", after_some)
    with pytest.raises(error):
        files.get(str(remote / "source"), str(local / "target"), deadline=soon())
    assert [path.name for path in local.iterdir()] == ["target"]
    assert (local / "target").read_bytes() == b"old"
    assert len(guest.calls("guest-file-close")) == 1


BROKEN_WRITES: dict[str, tuple[str, t.Callable[[Usual, t.Any], t.Any], type[Exception], str]] = {
    "short": ("write", lambda usual, arguments: {"count": usual(arguments) and 1}, GuestFileError, "took 1 of 2000"),
    "more than sent": ("write", lambda usual, arguments: {"count": 5000}, GuestFileError, "took 5000 of 2000"),
    "negative": ("write", lambda usual, arguments: {"count": -1}, GuestFileError, "took -1 of 2000"),
    "no count": ("write", lambda usual, arguments: {}, ProtocolViolation, "count"),
    "refused": ("write", refuse_with("Bad file descriptor"), GuestFileError, "Bad file descriptor"),
    "refused at length": ("write", refuse_with("x" * 9000), GuestFileError, r"in the guest: x{200,300}\.\.\.$"),
    "full": ("flush", refuse_with("No space left on device"), GuestFileError, "No space left on device"),
    "lost": ("write", lambda usual, arguments: NO_REPLY, OutcomeUnknown, "guest-file-write"),
    "lost at the end": ("flush", lambda usual, arguments: NO_REPLY, OutcomeUnknown, "guest-file-flush"),
}


@pytest.mark.parametrize(("command", "change", "error", "text"), BROKEN_WRITES.values(), ids=BROKEN_WRITES)
def test_incomplete_write_fails(
    files: Files,
    guest: LocalGuest,
    local: pathlib.Path,
    remote: pathlib.Path,
    command: str,
    change: t.Callable[[Usual, t.Any], t.Any],
    error: type[Exception],
    text: str,
) -> None:
    (local / "source").write_bytes(b"x" * 2 * CHUNK)
    guest.replace(f"guest-file-{command}", change)
    with pytest.raises(error, match=text):
        files.put(str(local / "source"), str(remote / "target"), deadline=soon())
    assert len(guest.calls("guest-file-close")) == 1
    # The command is neither repeated nor followed by another one.
    assert len(guest.calls(f"guest-file-{command}")) == 1


def test_failing_close_is_reported(files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path) -> None:
    (local / "source").write_bytes(b"x")

    def refuse(usual: Usual, arguments: t.Any) -> t.NoReturn:
        usual(arguments)
        raise ErrorReply("failed to close handle")

    guest.replace("guest-file-close", refuse)
    with pytest.raises(GuestFileError, match=f"cannot close {remote}/target in the guest: failed to close handle"):
        files.put(str(local / "source"), str(remote / "target"), deadline=soon())
    # The agent frees the handle in any case; a second call would free it twice.
    assert len(guest.calls("guest-file-close")) == 1


def test_first_error_is_kept_when_closing_fails_too(files: Files, guest: LocalGuest, remote: pathlib.Path) -> None:
    def lose(usual: Usual, arguments: t.Any) -> t.Any:
        usual(arguments)
        raise ErrorReply("failed to close handle")

    guest.replace("guest-file-close", lose)
    guest.replace("guest-file-flush", refuse_with("No space left on device"))
    with pytest.raises(GuestFileError, match="No space left on device"):
        files.write(str(remote / "target"), [b"x"], deadline=soon())


@pytest.mark.parametrize("handle", [None, "1000", 1.0, True, {}])
def test_rejects_invalid_handle(files: Files, guest: LocalGuest, remote: pathlib.Path, handle: t.Any) -> None:
    guest.handlers["guest-file-open"] = lambda arguments: handle
    with pytest.raises(ProtocolViolation, match=r"^unix:.*: guest-file-open: "):
        files.open(str(remote / "x"), "w", soon())


def test_abandoned_read_closes_the_file(files: Files, guest: LocalGuest, remote: pathlib.Path) -> None:
    (remote / "source").write_bytes(b"x" * 3 * CHUNK)
    contents = files.read(str(remote / "source"), deadline=soon())
    assert next(contents) == b"x" * CHUNK
    t.cast("t.Generator[bytes, None, None]", contents).close()
    assert not guest.handles


def test_local_path_that_cannot_be_replaced_fails(files: Files, local: pathlib.Path, remote: pathlib.Path) -> None:
    (remote / "source").write_bytes(b"x")
    (local / "directory").mkdir()
    with pytest.raises(OSError):
        files.get(str(remote / "source"), str(local / "directory"), deadline=soon())
    with pytest.raises(FileNotFoundError):
        files.get(str(remote / "source"), str(local / "no" / "x"), deadline=soon())
    assert [path.name for path in local.iterdir()] == ["directory"]


def test_put_fails_without_a_shell(files: Files, guest: LocalGuest, local: pathlib.Path) -> None:
    (local / "source").write_bytes(b"x")
    guest.replace("guest-exec", refuse_with("Failed to execute child process"))
    with pytest.raises(QgaError, match="Failed to execute child process"):
        files.put(str(local / "source"), "/tmp/x", deadline=soon())


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_growing_file_is_read_as_it_was(files: Files, guest: LocalGuest, remote: pathlib.Path, size: int) -> None:
    grown = remote / "grown"
    grown.write_bytes(b"a" * size)

    def grow(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        with grown.open("ab") as file:
            file.write(b"b" * 2 * CHUNK)
        return reply

    guest.replace("guest-file-seek", grow)
    content = b"".join(files.read(str(grown), deadline=soon()))
    # The size was taken before the file grew for the first time.
    assert content == b"a" * size


@pytest.mark.parametrize("has_seek", [True, False])
def test_device_without_end_is_too_large(
    files: Files, guest: LocalGuest, local: pathlib.Path, monkeypatch: pytest.MonkeyPatch, has_seek: bool
) -> None:
    monkeypatch.setattr(open_file_module, "_MAX_UNSIZED", 10 * CHUNK)
    if not has_seek:
        guest.disabled.add("guest-file-seek")
    with pytest.raises(GuestFileTooLarge, match=f"at most {10 * CHUNK} are read") as caught:
        files.get("/dev/zero", str(local / "zero"), deadline=soon())
    assert "no room" not in str(caught.value)
    assert not list(local.iterdir())


def test_file_is_read_whole_without_seek(files: Files, guest: LocalGuest, remote: pathlib.Path) -> None:
    guest.disabled.add("guest-file-seek")
    path = remote / "file"
    path.write_bytes(bytes(range(256)) * 40)
    assert b"".join(files.read(str(path), deadline=soon())) == path.read_bytes()


def test_sized_file_is_refused_before_it_is_copied(
    files: Files, guest: LocalGuest, local: pathlib.Path, remote: pathlib.Path
) -> None:
    size = 2**43
    with (remote / "file").open("wb") as file:
        file.truncate(size)
    paths = str(remote / "file"), str(local / "file")
    with pytest.raises(GuestFileTooLarge, match=rf"has {size} bytes or more, .* has no room for more"):
        files.get(*paths, deadline=soon())
    with pytest.raises(GuestFileTooLarge, match=rf"has {size} bytes or more, and at most {5 * CHUNK} are read$"):
        files.get(*paths, deadline=soon(), max_size=5 * CHUNK)
    assert len(guest.calls("guest-file-read")) == 2
    assert not list(local.iterdir())


@pytest.mark.parametrize("repeated", [2, 3])
def test_part_that_the_agent_reads_twice_is_no_loss_without_an_error(
    files: Files, guest: LocalGuest, remote: pathlib.Path, repeated: int
) -> None:
    def read_twice(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        reply = usual(arguments)
        if len(guest.calls("guest-file-read")) == repeated:
            usual(arguments)
        return reply

    (remote / "file").write_bytes(os.urandom(4 * CHUNK + 1))
    guest.replace("guest-file-read", read_twice)
    with pytest.raises(GuestFileError, match=rf"had {4 * CHUNK + 1} bytes, and ended after {3 * CHUNK + 1}\."):
        list(files.read(str(remote / "file"), deadline=soon()))


def test_part_that_the_agent_writes_twice_is_an_error(files: Files, guest: LocalGuest, remote: pathlib.Path) -> None:
    def write_twice(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        if len(guest.calls("guest-file-write")) == 2:
            usual(arguments)
        return usual(arguments)

    guest.replace("guest-file-write", write_twice)
    with pytest.raises(GuestFileError, match=rf"has {4 * CHUNK} bytes after {3 * CHUNK} were written"):
        files.write_bytes(str(remote / "file"), bytes(3 * CHUNK), deadline=soon())


def test_place_that_has_no_size_can_be_written(files: Files, guest: LocalGuest) -> None:
    files.write_bytes("/dev/null", b"x", deadline=soon())
    guest.disabled.add("guest-file-seek")
    files.write_bytes("/dev/null", b"x", deadline=soon())


def test_reading_ends_at_the_deadline(files: Files) -> None:
    started = time.monotonic()
    with pytest.raises(GuestFileError, match=r"/dev/zero in the guest could not be read in time, only [0-9]+ bytes"):
        for dummy in files.read("/dev/zero", deadline=Deadline.after(0.5)):
            pass
    assert time.monotonic() - started < 20


def test_reading_ends_at_a_deadline_that_passes_before_the_size_is_known(files: Files, guest: LocalGuest) -> None:
    def answer_late(usual: t.Callable[..., t.Any], arguments: dict[str, t.Any]) -> t.Any:
        time.sleep(0.6)
        return usual(arguments)

    guest.replace("guest-file-seek", answer_late)
    with pytest.raises(GuestFileError, match=r"/dev/zero in the guest could not be read in time"):
        b"".join(files.read("/dev/zero", deadline=Deadline.after(0.5)))
