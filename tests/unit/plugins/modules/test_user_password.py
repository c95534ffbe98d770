# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module user_password: setting the password of a guest's user."""

from __future__ import annotations

import base64
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts import password_hash, passwords
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest

from .conftest import RunModule, silence_of

PASSWORD = 'it\'s a "password" 汉语'
HASH = "$6$saltsaltsaltsalt$" + "a" * 86
OTHER_HASH = "$6$saltsaltsaltsalt$" + "b" * 86


@pytest.fixture(name="guest")
def fixture_guest(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[LocalGuest]:
    """Provide a guest with one user, whose password has another hash than HASH."""
    shadow = tmp_path / "shadow"
    shadow.write_text(f"root:*:1::::::\n\nbroken\nuser:{OTHER_HASH}:19000:0:99999:7:::\n")
    monkeypatch.setattr(passwords, "_SHADOW", str(shadow))
    guest = LocalGuest()

    def set_password(arguments: t.Any) -> t.Any:
        if arguments["username"] != "user":
            raise ErrorReply("child process has failed to set user password")
        text = base64.b64decode(arguments["password"]).decode()
        shadow.write_text(f"root:*:1::::::\nuser:{text if arguments['crypted'] else OTHER_HASH}:19000:0:99999:7:::\n")
        return {}

    guest.handlers["guest-set-user-password"] = set_password
    yield guest
    assert not guest.handles


@pytest.fixture(name="crypt")
def fixture_crypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace crypt(3) by one that returns OTHER_HASH for PASSWORD."""

    def crypt(password: bytes, setting: bytes) -> bytes:
        return OTHER_HASH.encode() if password == PASSWORD.encode() else HASH.encode()

    monkeypatch.setattr(password_hash, "_find_crypt", lambda: crypt)


def test_sets_hash_once(run_module: RunModule, guest: LocalGuest) -> None:
    options: dict[str, t.Any] = {"user": "user", "password": HASH, "encrypted": True}
    assert run_module("user_password", guest, check_mode=True, **options)["changed"]
    assert not guest.calls("guest-set-user-password")
    result = run_module("user_password", guest, **options)
    assert result == {"changed": True, "user": "user", "compared": True}
    sent = {"username": "user", "password": base64.b64encode(HASH.encode()).decode(), "crypted": True}
    assert guest.calls("guest-set-user-password") == [sent]
    for check_mode in (True, False):
        result = run_module("user_password", guest, check_mode=check_mode, **options)
        assert result == {"changed": False, "user": "user", "compared": True}
    assert len(guest.calls("guest-set-user-password")) == 1


@pytest.mark.usefixtures("crypt")
def test_sets_different_password(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("user_password", guest, user="user", password="another")
    assert result["changed"] and result["compared"]
    (sent,) = guest.calls("guest-set-user-password")
    assert base64.b64decode(sent["password"]) == b"another" and sent["crypted"] is False


@pytest.mark.usefixtures("crypt")
def test_same_password_is_not_set(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("user_password", guest, user="user", password=PASSWORD)
    assert not result["changed"] and result["compared"] and not guest.calls("guest-set-user-password")


@pytest.mark.usefixtures("crypt")
@pytest.mark.parametrize("command", ["guest-file-open", "guest-file-read"])
@pytest.mark.parametrize("missing", [True, False])
def test_sets_password_if_shadow_is_unreadable(
    run_module: RunModule, guest: LocalGuest, command: str, missing: bool
) -> None:
    if missing:
        del guest.handlers[command]
    else:
        guest.disabled.add(command)
    result = run_module("user_password", guest, user="user", password=PASSWORD, check_mode=True)
    assert result["changed"] and not result["compared"] and not guest.calls("guest-set-user-password")
    result = run_module("user_password", guest, user="user", password=PASSWORD)
    assert result["changed"] and not result["compared"] and len(guest.calls("guest-set-user-password")) == 1
    guest.handles.clear()


def test_cannot_compare_without_root(
    run_module: RunModule, guest: LocalGuest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_SHADOW", f"{tmp_path}/none")
    assert run_module("user_password", guest, check_mode=True, user="user", password=PASSWORD)["compared"] is False


def test_cannot_compare_with_too_large_file(
    run_module: RunModule, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MAX_SIZE", 10)
    result = run_module("user_password", guest, user="user", password=HASH, encrypted=True)
    assert result["changed"] and not result["compared"]


def test_unknown_user_fails(run_module: RunModule, guest: LocalGuest) -> None:
    result = run_module("user_password", guest, user="nobody", password=PASSWORD)
    assert result["failed"] and result["error"] == "agent_refused" and PASSWORD not in str(result)


@pytest.mark.parametrize(
    "options",
    [
        {"user": ""},
        {"user": "a:b"},
        {"user": "a\nb"},
        {"password": ""},
        {"password": "secret\nroot:secret"},
        {"password": "secret\0"},
        {"password": "secret", "encrypted": True},
        {"password": f"{HASH}:secret", "encrypted": True},
        {"password": "$6$", "encrypted": True},
    ],
)
def test_invalid_options_are_refused_before_connecting(run_module: RunModule, options: dict[str, t.Any]) -> None:
    agent = ScriptedAgent()
    result = run_module("user_password", agent, **{"user": "user", "password": "secret", **options})
    assert result["failed"] and result["error"] == "invalid_request" and not agent.requests
    assert "secret" not in result["msg"]


@pytest.mark.parametrize("text", ["*", "!", "!!", f"!{HASH}", "$y$j9T$salt$hash", "$argon2id$v=19$m=1,t=1,p=1$a$b+/"])
def test_accepts_locks_and_other_hash_methods(run_module: RunModule, guest: LocalGuest, text: str) -> None:
    assert run_module("user_password", guest, user="user", password=text, encrypted=True)["changed"]


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("frozen", "filesystems_frozen"),
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("silence", "agent_silent"),
        ("blocked", "command_missing"),
    ],
)
def test_failure_has_an_error_name_and_no_password(run_module: RunModule, profile: str, error: str) -> None:
    options: dict[str, t.Any] = {"user": "user", "password": PASSWORD}
    result = run_module("user_password", LocalGuest(profile), silence=silence_of(profile), **options)
    assert result["failed"] and result["error"] == error and PASSWORD not in str(result)


def test_blocked_command_fails(run_module: RunModule, guest: LocalGuest) -> None:
    guest.disabled.add("guest-set-user-password")
    result = run_module("user_password", guest, user="user", password=PASSWORD)
    assert result["failed"] and result["error"] == "command_disabled"


def test_lost_reply_is_not_sent_again(run_module: RunModule, guest: LocalGuest) -> None:
    guest.deliveries.append(lambda line: [None] if b'"return": {}' in line and b"handle" not in line else [line])
    guest.disabled.add("guest-file-open")
    result = run_module("user_password", guest, user="user", password=PASSWORD)
    assert result["failed"] and result["error"] == "outcome_unknown"
    assert len(guest.calls("guest-set-user-password")) == 1
