# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module file, in a guest that is this machine."""

from __future__ import annotations

import base64
import hashlib
import pathlib
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest

from .conftest import RunModule, operation_of, silence_of

WITHOUT_EXEC = {"guest-exec", "guest-exec-status"}


@pytest.fixture(name="guest", params=["with programs", "without"])
def fixture_guest(request: pytest.FixtureRequest) -> t.Iterator[LocalGuest]:
    """Provide a guest whose agent may run programs, and one whose agent may not."""
    guest = LocalGuest()
    if request.param == "without":
        guest.disabled.update(WITHOUT_EXEC)
    yield guest
    assert not guest.handles, "files were left open"


@pytest.fixture(name="path")
def fixture_path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the path of a file in the guest that does not exist."""
    return tmp_path / "it's a 'file'"


def has_written(guest: LocalGuest) -> bool:
    """Return whether any call changed the guest."""
    opened = any(call["mode"] != "r" for call in guest.calls("guest-file-open"))
    return opened or any("umask" in call["arg"][1] or "chmod" in call["arg"][1] for call in guest.calls("guest-exec"))


def mode_of(path: pathlib.Path) -> int:
    """Return the mode of a file."""
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("content", ["", "text\n", "汉语" * 40_000], ids=["empty", "text", "large"])
def test_writes_text(run_module: RunModule, guest: LocalGuest, path: pathlib.Path, content: str) -> None:
    data = content.encode()
    predicted = run_module("file", guest, check_mode=True, path=str(path), content=content)
    assert predicted["changed"] and not path.exists() and not has_written(guest)
    result = run_module("file", guest, path=str(path), content=content)
    assert result["changed"] and path.read_bytes() == data
    assert (result["path"], result["size"]) == (str(path), len(data))
    assert result["checksum"] == hashlib.sha256(data).hexdigest() == predicted["checksum"]
    guest.requests.clear()
    again = run_module("file", guest, path=str(path), content=content)
    assert not again["changed"] and not has_written(guest) and again["checksum"] == result["checksum"]


@pytest.mark.parametrize("data", [b"\0\xff\r\n", b"compressible" * 100_000], ids=["bytes", "many"])
def test_writes_bytes(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path, data: bytes
) -> None:
    path.write_bytes(b"longer" * 300_000)
    assert run_module("file", guest, path=str(path), content_base64=base64.b64encode(data).decode())["changed"]
    assert path.read_bytes() == data
    (tmp_path / "src").write_bytes(data + b"!")
    assert run_module("file", guest, path=str(path), src=str(tmp_path / "src"))["changed"]
    assert path.read_bytes() == data + b"!"
    assert not run_module("file", guest, path=str(path), src=str(tmp_path / "src"))["changed"]


def test_larger_file_is_not_read_to_its_end(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    path.write_bytes(b"a" * 5_000_000)
    run_module("file", guest, check_mode=True, path=str(path), content="a")
    assert len(guest.calls("guest-file-read")) == 1


def test_new_files_are_private(run_module: RunModule, path: pathlib.Path) -> None:
    result = run_module("file", LocalGuest(), path=str(path), content="secret")
    assert mode_of(path) == 0o600 and result["mode"] == "0600" and "warnings" not in result


def test_new_files_are_world_writable_without_programs(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    guest.disabled.update(WITHOUT_EXEC)
    result = run_module("file", guest, path=str(path), content="no secret")
    assert result["mode"] == "0666" and "0666" in result["warnings"][0] and str(path) in result["warnings"][0]


def test_new_file_with_a_mode_fails_without_programs(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    guest.disabled.update(WITHOUT_EXEC)
    result = run_module("file", guest, path=str(path), content="secret", mode="0600")
    assert result["failed"] and result["error"] == "command_disabled" and "0666" in result["msg"]
    assert not path.exists() and not has_written(guest)


def test_existing_file_keeps_its_mode_without_programs(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    guest.disabled.update(WITHOUT_EXEC)
    path.write_text("old")
    path.chmod(0o640)
    result = run_module("file", guest, path=str(path), content="new", mode="0600")
    assert result["changed"] and path.read_text() == "new" and mode_of(path) == 0o640
    assert "unknown" in result["warnings"][0] and "mode" not in result


@pytest.mark.parametrize(("mode", "expected"), [("0644", 0o644), ("755", 0o755), (0o640, 0o640), ("04755", 0o4755)])
def test_mode_is_set(run_module: RunModule, path: pathlib.Path, mode: t.Any, expected: int) -> None:
    guest = LocalGuest()
    for changed in (True, False):
        result = run_module("file", guest, path=str(path), content="a", mode=mode)
        assert result["changed"] is changed and result["mode"] == f"{expected:04o}" and mode_of(path) == expected
    path.chmod(0o777)
    guest.requests.clear()
    assert run_module("file", guest, check_mode=True, path=str(path), content="a", mode=mode)["changed"]
    assert mode_of(path) == 0o777 and not has_written(guest)
    result = run_module("file", guest, path=str(path), content="a", mode=mode)
    assert result["changed"] and mode_of(path) == expected
    assert result["diff"][1] == {"before": {"mode": "0777"}, "after": {"mode": f"{expected:04o}"}}


def test_file_is_private_until_it_has_its_new_mode(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    modes = []

    def write(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        modes.append(mode_of(path))
        return usual(arguments)

    guest.replace("guest-file-write", write)
    path.write_text("old")
    path.chmod(0o666)
    run_module("file", guest, path=str(path), content="secret", mode="0400")
    assert modes == [0o600] and mode_of(path) == 0o400


@pytest.mark.parametrize("mode", ["u=rw", "0888", "rw", "99999", -1, True, 0o10000])
def test_rejects_invalid_modes(run_module: RunModule, path: pathlib.Path, mode: t.Any) -> None:
    guest = LocalGuest()
    result = run_module("file", guest, path=str(path), content="a", mode=mode)
    assert result["failed"] and result["error"] == "invalid_request" and not guest.requests


def test_diff_of_contents(run_module: RunModule, guest: LocalGuest, path: pathlib.Path) -> None:
    def diff(**options: t.Any) -> t.Any:
        return run_module("file", guest, check_mode=True, path=str(path), **options)["diff"][0]

    headers = {"before_header": str(path), "after_header": str(path)}
    assert diff(content="new\n") == {**headers, "before": "", "after": "new\n"}
    path.write_text("old\n")
    assert diff(content="new\n") == {**headers, "before": "old\n", "after": "new\n"}
    path.write_text("older\n" * 10_000)
    assert diff(content="new\n") == {**headers, "before": "older\n" * 10_000, "after": "new\n"}
    path.write_text("older\n" * 20_000)
    assert diff(content="new\n") == {**headers, "before": "", "dst_larger": 104448, "after": "new\n"}
    path.write_bytes(b"\xff")
    assert diff(content="new\n") == {**headers, "before": "", "dst_binary": 1, "after": "new\n"}
    assert diff(content="n" * 200_000) == {**headers, "before": "", "dst_binary": 1, "src_larger": 104448}
    assert "diff" not in run_module("file", guest, diff_mode=False, path=str(path), content="")


@pytest.mark.parametrize("copies_out", [False, True])
def test_directory_in_place_of_the_file_fails(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path, copies_out: bool
) -> None:
    path.mkdir()
    options: dict[str, t.Any] = {"dest": f"{tmp_path}/dest"} if copies_out else {"content": "a"}
    result = run_module("file", guest, path=str(path), **options)
    assert result["failed"] and result["error"] == "guest_file_error" and str(path) in result["msg"]
    assert not (tmp_path / "dest").exists()


def test_missing_directory_fails(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    result = run_module("file", guest, path=f"{tmp_path}/none/file", content="a")
    assert result["failed"] and result["error"] == "guest_file_error" and not result["changed"]


def test_copies_to_a_local_file(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    dest = tmp_path / "here" / "dest"
    dest.parent.mkdir()
    path.write_bytes(b"\xff" * 300_000)
    options: dict[str, t.Any] = {"path": str(path), "dest": str(dest)}
    assert run_module("file", guest, check_mode=True, **options)["changed"] and not dest.exists()
    assert run_module("file", guest, **options)["changed"] and dest.read_bytes() == path.read_bytes()
    dest.chmod(0o640)
    inode = dest.stat().st_ino
    assert not run_module("file", guest, **options)["changed"]
    assert not run_module("file", guest, check_mode=True, **options)["changed"] and dest.stat().st_ino == inode
    path.write_bytes(b"new")
    assert run_module("file", guest, check_mode=True, **options)["changed"] and dest.stat().st_ino == inode
    result = run_module("file", guest, **options)
    assert result["changed"] and dest.read_bytes() == b"new" and mode_of(dest) == 0o640 and result["size"] == 3
    assert (result["path"], result["dest"]) == (str(path), str(dest)) and "mode" not in result
    assert result["checksum"] == hashlib.sha256(b"new").hexdigest()
    assert list(dest.parent.iterdir()) == [dest]


def test_diff_of_a_local_file(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    dest = tmp_path / "dest"
    headers = {"before_header": str(dest), "after_header": str(dest)}
    path.write_text("new\n")
    for check_mode in (True, False):
        result = run_module("file", guest, check_mode=check_mode, path=str(path), dest=str(dest))
        assert result["diff"] == [{**headers, "before": "", "after": "new\n"}]
    path.write_bytes(b"\xff")
    result = run_module("file", guest, path=str(path), dest=str(dest))
    assert result["diff"] == [{**headers, "before": "new\n", "src_binary": 1}]
    assert "diff" not in run_module("file", guest, diff_mode=False, path=str(path), dest=str(dest))


def test_missing_file_is_not_copied_out(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "here").mkdir()
    result = run_module("file", guest, path=str(path), dest=f"{tmp_path}/here/dest")
    assert result["failed"] and str(path) in result["msg"]
    # Only a program can find out why a file cannot be opened.
    assert result["error"] == ("guest_file_error" if guest.disabled else "file_not_found")
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"path": "relative", "content": ""},
        {"path": "/a\0b", "content": ""},
        {"path": "/a", "content_base64": "no base64!"},
        {"path": "/a", "dest": "/tmp"},
    ],
)
def test_rejects_invalid_options(run_module: RunModule, options: dict[str, t.Any]) -> None:
    agent = ScriptedAgent()
    result = run_module("file", agent, **options)
    assert result["failed"] and result["error"] == "invalid_request" and not agent.requests


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "0644"},
        {"dest": "/tmp/a", "mode": "0644"},
        {"dest": "/tmp/a", "content": ""},
        {"dest": "/tmp/a", "content_base64": ""},
        {"dest": "/tmp/a", "src": "/tmp/b"},
        {"content": "", "content_base64": ""},
        {"content": "", "src": "/tmp/b"},
    ],
)
def test_refuses_options_that_do_not_go_together(options: dict[str, t.Any]) -> None:
    operation = operation_of("file")
    validator = ArgumentSpecValidator(operation.argument_spec, **operation.constraints)
    assert validator.validate({"path": "/a", **options}).error_messages


def test_missing_local_file_fails(run_module: RunModule, tmp_path: pathlib.Path) -> None:
    result = run_module("file", ScriptedAgent(), path="/a", src=f"{tmp_path}/none")
    assert result["failed"] and result["error"] == "os_error" and "none" in result["msg"]


@pytest.mark.parametrize("copies_out", [False, True])
@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("blocked", "command_disabled"),
        ("frozen", "filesystems_frozen"),
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("wrong_types", "protocol_violation"),
        ("silence", "agent_silent"),
    ],
)
def test_errors_have_a_class(
    run_module: RunModule, profile: str, error: str, copies_out: bool, tmp_path: pathlib.Path
) -> None:
    guest = LocalGuest(profile)
    if profile == "blocked":
        guest.disabled.add("guest-file-open")
    options: dict[str, t.Any] = {"dest": f"{tmp_path}/dest"} if copies_out else {"content": "a secret"}
    result = run_module("file", guest, path="/no/such/file", silence=silence_of(profile), **options)
    assert result["failed"] and result["error"] == error and "secret" not in str(result)


def test_full_disk_fails(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    guest.handlers["guest-file-write"] = lambda arguments: {"count": 0, "eof": False}
    result = run_module("file", guest, path=str(path), content="abc")
    assert result["failed"] and result["error"] == "guest_file_error" and "full" in result["msg"]
    assert result["changed"] and path.read_bytes() == b""


@pytest.mark.parametrize("compresses", [False, True])
def test_full_disk_fails_when_copying_a_local_file(
    run_module: RunModule, path: pathlib.Path, tmp_path: pathlib.Path, compresses: bool
) -> None:
    guest = LocalGuest()
    guest.handlers["guest-file-write"] = lambda arguments: {"count": 0, "eof": False}
    (tmp_path / "src").write_bytes(b"compressible" * 100_000 if compresses else b"abc")
    result = run_module("file", guest, path=str(path), src=str(tmp_path / "src"))
    assert result["error"] == "guest_file_error" and result["changed"] and path.read_bytes() == b""


def test_error_after_changing_the_mode_reports_a_change(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    path.write_text("old")
    path.chmod(0o644)

    def refuse(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        if arguments["mode"] == "w":
            raise ErrorReply("failed to open file: Read-only file system")
        return usual(arguments)

    guest.replace("guest-file-open", refuse)
    result = run_module("file", guest, path=str(path), content="new")
    assert result["error"] == "guest_file_error" and not result["changed"]
    result = run_module("file", guest, path=str(path), content="new", mode="0640")
    assert result["error"] == "guest_file_error" and result["changed"] and mode_of(path) == 0o600


def test_error_after_changing_the_contents_reports_a_change(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    path.write_text("old")

    def forbid(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        guest.disabled.add("guest-exec")
        return usual(arguments)

    guest.replace("guest-file-flush", forbid)
    result = run_module("file", guest, path=str(path), content="new", mode="0400")
    assert result["error"] == "command_disabled" and result["changed"] and path.read_text() == "new"


def test_lost_reply_to_a_change_reports_a_change(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    path.write_text("old")

    def lose(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        if "chmod" in str(arguments):
            guest.deliveries.append(lambda line: [None])
        return usual(arguments)

    guest.replace("guest-exec", lose)
    result = run_module("file", guest, path=str(path), content="new", mode="0400")
    assert result["error"] == "outcome_unknown" and result["changed"] and path.read_text() == "old"


@pytest.mark.parametrize("check_mode", [True, False])
def test_copy_is_bounded_by_size_and_time(
    run_module: RunModule, guest: LocalGuest, path: pathlib.Path, tmp_path: pathlib.Path, check_mode: bool
) -> None:
    path.write_bytes(b"four")
    options: dict[str, t.Any] = {"path": str(path), "dest": str(tmp_path / "dest"), "check_mode": check_mode}
    result = run_module("file", guest, max_size=3, **options)
    assert result["failed"] and result["error"] == "too_large" and "at most 3 are read" in result["msg"]
    assert not (tmp_path / "dest").exists()
    options["path"] = "/dev/zero"
    result = run_module("file", guest, copy_timeout=0.5, **options)
    assert result["failed"] and "could not be read in time" in result["msg"]
    options["path"] = str(path)
    assert run_module("file", guest, max_size=4, **options)["changed"]


@pytest.mark.parametrize("option", ["max_size", "copy_timeout"])
def test_bounds_have_to_be_positive(run_module: RunModule, tmp_path: pathlib.Path, option: str) -> None:
    options: dict[str, t.Any] = {"path": "/x", "dest": str(tmp_path / "dest"), option: 0}
    result = run_module("file", LocalGuest(), **options)
    assert result["failed"] and result["error"] == "invalid_request" and option in result["msg"]
