# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module file_content_info, in a guest that is this machine."""

from __future__ import annotations

import base64
import hashlib
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.files import guest_file
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest

from .conftest import RunModule, silence_of


@pytest.fixture(name="guest", params=["with programs", "without"])
def fixture_guest(request: pytest.FixtureRequest) -> t.Iterator[LocalGuest]:
    """Provide a guest whose agent may run programs, and one whose agent may not."""
    guest = LocalGuest()
    if request.param == "without":
        guest.disabled.update({"guest-exec", "guest-exec-status"})
    yield guest
    assert not guest.handles, "files were left open"


@pytest.fixture(name="path")
def fixture_path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the path of a file in the guest that does not exist."""
    return tmp_path / "it's a 'file'"


def test_reads_text_and_bytes(run_module: RunModule, guest: LocalGuest, path: pathlib.Path) -> None:
    path.write_bytes(b"line\n")
    result = run_module("file_content_info", guest, path=str(path))
    assert not result["changed"] and result["content"] == "line\n" and result["size"] == 5
    assert result["checksum"] == hashlib.sha256(b"line\n").hexdigest()
    path.write_bytes(b"\xff\0")
    result = run_module("file_content_info", guest, path=str(path), check_mode=True)
    assert base64.b64decode(result["content_base64"]) == b"\xff\0" and "content" not in result


def test_contents_too_large_for_a_result_fail(
    run_module: RunModule, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_file, "_MAX_IN_RESULT", 3)
    path.write_bytes(b"four")
    result = run_module("file_content_info", LocalGuest(), path=str(path))
    assert result["failed"] and result["error"] == "too_large" and "dest" in result["msg"]
    path.write_bytes(b"two")
    assert run_module("file_content_info", LocalGuest(), path=str(path))["content"] == "two"


def test_reading_changes_nothing(run_module: RunModule, guest: LocalGuest, path: pathlib.Path) -> None:
    path.write_text("text")
    result = run_module("file_content_info", guest, path=str(path))
    assert result == {
        "changed": False,
        "path": str(path),
        "checksum": hashlib.sha256(b"text").hexdigest(),
        "size": 4,
        "content": "text",
    }
    assert {call["mode"] for call in guest.calls("guest-file-open")} == {"r"} and not guest.calls("guest-exec")


def test_directory_cannot_be_read(run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path) -> None:
    result = run_module("file_content_info", guest, path=str(tmp_path))
    assert result["failed"] and result["error"] == "guest_file_error" and str(tmp_path) in result["msg"]


def test_missing_file_cannot_be_read(run_module: RunModule, guest: LocalGuest, path: pathlib.Path) -> None:
    result = run_module("file_content_info", guest, path=str(path))
    assert result["failed"] and str(path) in result["msg"]
    # Only a program can find out why a file cannot be opened.
    assert result["error"] == ("guest_file_error" if guest.disabled else "file_not_found")


@pytest.mark.parametrize("path", ["relative", "/a\0b"])
def test_path_has_to_be_absolute(run_module: RunModule, path: str) -> None:
    agent = ScriptedAgent()
    result = run_module("file_content_info", agent, path=path)
    assert result["failed"] and result["error"] == "invalid_request" and not agent.requests


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
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    guest = LocalGuest(profile)
    if profile == "blocked":
        guest.disabled.add("guest-file-open")
    result = run_module("file_content_info", guest, path="/no/such/file", silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_wrong_count_violates_the_protocol(run_module: RunModule, path: pathlib.Path) -> None:
    guest = LocalGuest()
    path.write_text("abc")
    guest.handlers["guest-file-read"] = lambda arguments: {"count": 7, "buf-b64": "YQ==", "eof": True}
    assert run_module("file_content_info", guest, path=str(path))["error"] == "protocol_violation"
