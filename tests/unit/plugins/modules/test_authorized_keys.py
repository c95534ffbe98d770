# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module authorized_keys, with an agent that handles its file as qemu-ga does."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import Arguments, ErrorReply, ScriptedAgent

from .conftest import RunModule, silence_of

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO8mOh2BqsVUScKgZlBmZGAqYHcYbX2Fr5PmyHb1UsnO"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMFBLvqYdZ9Y5i9eAyzwfGOTWqBMlIHlV06i2DJbmDwN"
CHANGING = {"guest-ssh-add-authorized-keys", "guest-ssh-remove-authorized-keys"}


class KeysAgent(ScriptedAgent):
    """An agent with the file of one user, whose name is user.

    :param lines: the lines of the file.
    :param exists: whether there is a file.
    """

    def __init__(self, *lines: str, exists: bool = True) -> None:
        super().__init__()
        self.lines: list[str] | None = list(lines) if exists else None
        #: Whether the agent is not allowed to look whether there is a file.
        self.hidden = False
        self.handlers.update(
            {
                "guest-ssh-get-authorized-keys": self._get,
                "guest-ssh-add-authorized-keys": self._add,
                "guest-ssh-remove-authorized-keys": self._remove,
            }
        )

    @property
    def changing(self) -> list[str]:
        """The commands that the agent received and that change something."""
        return [request["execute"] for request in self.requests if request["execute"] in CHANGING]

    def _check(self, arguments: Arguments) -> None:
        if arguments["username"] != "user":
            raise ErrorReply(f"failed to lookup user '{arguments['username']}': Success")

    def _get(self, arguments: Arguments) -> t.Any:
        self._check(arguments)
        if self.lines is None or self.hidden:
            reason = "Permission denied" if self.hidden else "No such file or directory"
            raise ErrorReply(f"failed to read '/home/user/.ssh/authorized_keys': {reason}")
        kept = [line.strip() for line in self.lines]
        return {"keys": [line for line in reversed(kept) if line and not line.startswith("#")]}

    def _add(self, arguments: Arguments) -> t.Any:
        self._check(arguments)
        lines = [] if arguments.get("reset") else list(self.lines or [])
        self.lines = lines + [key for key in arguments["keys"] if key not in lines]
        return {}

    def _remove(self, arguments: Arguments) -> t.Any:
        self._check(arguments)
        if self.lines is not None and not self.hidden:
            self.lines = [line for line in self.lines if line not in arguments["keys"]]
        return {}


def run_twice(run_module: RunModule, agent: KeysAgent, **options: t.Any) -> dict[str, t.Any]:
    """Run in check mode, for real, and again; return the result of the second run."""
    options.setdefault("user", "user")
    before = None if agent.lines is None else list(agent.lines)
    predicted = run_module("authorized_keys", agent, check_mode=True, **options)
    assert agent.lines == before and not agent.changing
    result = run_module("authorized_keys", agent, **options)
    for name in ("changed", "authorized_keys", "added", "removed", "diff"):
        assert predicted[name] == result[name]
    agent.requests.clear()
    again = run_module("authorized_keys", agent, **options)
    assert not again["changed"] and not agent.changing and again["authorized_keys"] == result["authorized_keys"]
    return result


@pytest.mark.parametrize("exists", [True, False])
def test_adds_key(run_module: RunModule, exists: bool) -> None:
    agent = KeysAgent(exists=exists)
    result = run_twice(run_module, agent, keys=[f" {ALICE} alice \n", "", "# a comment"])
    assert result["changed"] and agent.lines == [f"{ALICE} alice"]
    assert result["authorized_keys"] == result["added"] == [f"{ALICE} alice"] and result["removed"] == []
    assert result["user"] == "user" and "warnings" not in result
    assert result["diff"] == {"before": "", "after": f"{ALICE} alice\n"}


def test_keeps_other_keys_and_comments(run_module: RunModule) -> None:
    agent = KeysAgent("# mine", f"{BOB} bob", "")
    result = run_twice(run_module, agent, keys=[f"{ALICE} alice\n{BOB} bob\n"])
    assert agent.lines == ["# mine", f"{BOB} bob", "", f"{ALICE} alice"]
    assert result["authorized_keys"] == [f"{BOB} bob", f"{ALICE} alice"]


def test_replaces_same_key_with_other_options_or_comment(run_module: RunModule) -> None:
    agent = KeysAgent("# mine", f"{ALICE} at work", BOB, f'from="10.0.0.1 ,10.0.0.2",no-pty {ALICE}')
    result = run_twice(run_module, agent, keys=[f"no-pty {ALICE} at home"])
    assert agent.lines == ["# mine", BOB, f"no-pty {ALICE} at home"]
    assert set(result["removed"]) == {f"{ALICE} at work", f'from="10.0.0.1 ,10.0.0.2",no-pty {ALICE}'}


def test_adds_new_line_before_removing_old_one(run_module: RunModule) -> None:
    agent = KeysAgent(f"{ALICE} at work")
    run_module("authorized_keys", agent, user="user", keys=[f"{ALICE} at home"])
    assert agent.changing == ["guest-ssh-add-authorized-keys", "guest-ssh-remove-authorized-keys"]


def test_last_line_of_a_key_wins(run_module: RunModule) -> None:
    agent = KeysAgent()
    assert run_twice(run_module, agent, keys=[f"{ALICE} one", f"{ALICE} two"])["authorized_keys"] == [f"{ALICE} two"]


def test_exclusive_removes_other_lines(run_module: RunModule) -> None:
    agent = KeysAgent("# mine", f"{BOB} bob", "rubbish")
    result = run_twice(run_module, agent, keys=[ALICE], exclusive=True)
    assert agent.lines == [ALICE] and result["removed"] == [f"{BOB} bob", "rubbish"]
    agent = KeysAgent("# mine", ALICE)
    assert not run_twice(run_module, agent, keys=[ALICE], exclusive=True)["changed"]
    assert agent.lines == ["# mine", ALICE]


def test_exclusive_without_file(run_module: RunModule) -> None:
    agent = KeysAgent(exists=False)
    assert run_twice(run_module, agent, keys=[ALICE, BOB], exclusive=True)["authorized_keys"] == [ALICE, BOB]


def test_removes_key(run_module: RunModule) -> None:
    agent = KeysAgent("# mine", f"{ALICE} at work", BOB)
    result = run_twice(run_module, agent, keys=[f"{ALICE} whatever"], state="absent")
    assert result["changed"] and agent.lines == ["# mine", BOB] and result["removed"] == [f"{ALICE} at work"]


def test_absent_without_file_changes_nothing(run_module: RunModule) -> None:
    agent = KeysAgent(exists=False)
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE], state="absent")
    assert not result["changed"] and "failed" not in result and agent.lines is None


def test_absent_fails_if_file_is_unreadable(run_module: RunModule) -> None:
    agent = KeysAgent(ALICE)
    agent.hidden = True
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE], state="absent")
    assert result["failed"] and result["error"] == "agent_refused" and not result["changed"]
    assert "may be there all the same" in result["msg"] and "Permission denied" in result["msg"]
    result = run_module("authorized_keys", agent, check_mode=True, user="user", keys=[ALICE], state="absent")
    assert not result["changed"] and "may not look" in result["warnings"][0]


def test_absent_fails_if_file_becomes_unreadable(run_module: RunModule) -> None:
    agent = KeysAgent(ALICE)

    def hide(arguments: Arguments) -> t.Any:
        agent.hidden = True
        return {}

    agent.handlers["guest-ssh-remove-authorized-keys"] = hide
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE], state="absent")
    assert result["failed"] and result["error"] == "not_carried_out" and result["changed"]


def test_removes_line_with_surrounding_blanks(run_module: RunModule) -> None:
    agent = KeysAgent("# lost", f"  {ALICE}\r", BOB)
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE], state="absent")
    assert result["changed"] and agent.lines == [BOB] and "comments" in result["warnings"][0]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_unknown_user_fails(run_module: RunModule, state: str) -> None:
    agent = KeysAgent()
    result = run_module("authorized_keys", agent, user="nobody", keys=[ALICE], state=state)
    assert result["failed"] and result["error"] == "agent_refused" and "nobody" in result["msg"]
    agent.requests.clear()
    result = run_module("authorized_keys", agent, check_mode=True, user="nobody", keys=[ALICE], state=state)
    assert result["changed"] is (state == "present") and "no such user" in result["warnings"][0]
    assert not agent.changing


@pytest.mark.parametrize(
    "options",
    [
        {"keys": []},
        {"keys": ["", "# nothing"]},
        {"keys": ["not a key"]},
        {"keys": [f"{ALICE}\n-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"]},
        {"keys": ["ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIO8mOh2BqsVUScKgZlBmZGAqYHcYbX2Fr5PmyHb1UsnO"]},
        {"keys": [ALICE], "state": "absent", "exclusive": True},
        {"keys": [ALICE], "user": ""},
    ],
)
def test_invalid_options_are_refused_before_connecting(run_module: RunModule, options: dict[str, t.Any]) -> None:
    agent = KeysAgent(BOB)
    result = run_module("authorized_keys", agent, **{"user": "user", "exclusive": False, **options})
    assert result["failed"] and result["error"] == "invalid_request"
    assert "c2VjcmV0" not in result["msg"] and not agent.requests


def test_success_without_effect_fails(run_module: RunModule) -> None:
    agent = KeysAgent(BOB)
    agent.handlers["guest-ssh-add-authorized-keys"] = lambda arguments: {}
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE])
    assert result["failed"] and result["error"] == "not_carried_out" and result["authorized_keys"] == [BOB]
    assert not result["changed"]


def test_other_effect_than_requested_fails(run_module: RunModule) -> None:
    agent = KeysAgent(f"{ALICE} at work")

    def add_another(arguments: Arguments) -> t.Any:
        agent.lines = [BOB]
        return {}

    agent.handlers["guest-ssh-add-authorized-keys"] = add_another
    result = run_module("authorized_keys", agent, user="user", keys=[f"{ALICE} at home"])
    assert result["failed"] and result["error"] == "not_carried_out" and result["authorized_keys"] == [BOB]
    assert result["changed"]


def test_refusal_reports_what_was_changed_before(run_module: RunModule) -> None:
    agent = KeysAgent(f"{ALICE} at work")

    def refuse(arguments: Arguments) -> t.NoReturn:
        raise ErrorReply("failed to write: No space left on device")

    agent.handlers["guest-ssh-remove-authorized-keys"] = refuse
    result = run_module("authorized_keys", agent, user="user", keys=[f"{ALICE} at home"])
    assert result["failed"] and result["error"] == "agent_refused" and result["changed"]
    agent.handlers["guest-ssh-add-authorized-keys"] = refuse
    result = run_module("authorized_keys", agent, user="user", keys=[BOB])
    assert result["failed"] and result["error"] == "agent_refused" and not result["changed"]


def test_lost_reply_is_not_sent_again(run_module: RunModule) -> None:
    agent = KeysAgent()
    agent.handlers["guest-ssh-add-authorized-keys"] = lambda arguments: {}
    agent.deliveries.append(lambda line: [line] if b'"keys"' in line else [None])
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE])
    assert result["failed"] and result["error"] == "outcome_unknown" and result["changed"]
    assert agent.changing == ["guest-ssh-add-authorized-keys"]


@pytest.mark.parametrize("reply", [{}, {"keys": None}, {"keys": [1]}, [], {"keys": ["a" * 2_000_000]}])
def test_invalid_reply_is_a_protocol_violation(run_module: RunModule, reply: t.Any) -> None:
    agent = KeysAgent()
    agent.handlers["guest-ssh-get-authorized-keys"] = lambda arguments: reply
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE])
    assert result["failed"] and result["error"] == "protocol_violation" and not agent.changing


def test_large_file_without_keys_is_read_quickly(run_module: RunModule) -> None:
    started = time.monotonic()
    agent = KeysAgent(*(f"{number} 汉语" for number in range(60_000)))
    result = run_module("authorized_keys", agent, check_mode=True, user="user", keys=[ALICE], exclusive=True)
    assert result["authorized_keys"] == [ALICE] and len(result["removed"]) == 60_000
    assert time.monotonic() - started < 20


def test_old_agent_lacks_the_command(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    assert run_module("authorized_keys", agent, user="user", keys=[ALICE])["error"] == "command_missing"


def test_blocked_command_fails(run_module: RunModule) -> None:
    agent = KeysAgent()
    agent.disabled.add("guest-ssh-get-authorized-keys")
    assert run_module("authorized_keys", agent, user="user", keys=[ALICE])["error"] == "command_disabled"
    assert not agent.changing


def test_frozen_guest_fails(run_module: RunModule) -> None:
    agent = KeysAgent()
    agent.frozen = True
    assert run_module("authorized_keys", agent, user="user", keys=[ALICE])["error"] == "filesystems_frozen"


@pytest.mark.parametrize(
    ("profile", "error"),
    [("never", "outcome_unknown"), ("garbage", "protocol_violation"), ("silence", "agent_silent")],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    agent = ScriptedAgent(profile)
    result = run_module("authorized_keys", agent, user="user", keys=[ALICE], silence=silence_of(profile))
    assert result["failed"] and result["error"] == error
