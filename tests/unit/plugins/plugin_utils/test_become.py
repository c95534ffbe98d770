# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-core's own sudo and su plugins get the password once, at their prompt, and no other program gets it."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.become import BecomeBase
from ansible.plugins.loader import become_loader, shell_loader

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.plugin_utils.become import Escalation

PASSWORD = "pass wörd"


def become(name: str, **options: t.Any) -> BecomeBase:
    """Return a become plugin that has built a command."""
    plugin: BecomeBase = become_loader.get(name)
    plugin.set_options(direct={"become_user": "root", **options})
    plugin.build_become_command("true", shell_loader.get("sh"))
    return plugin


def escalation_of(name: str = "sudo", **options: t.Any) -> tuple[BecomeBase, Escalation]:
    """Return a become plugin with a password, and its escalation."""
    plugin = become(name, become_pass=PASSWORD, **options)
    return plugin, Escalation(plugin, 30)


def prompt_of(plugin: BecomeBase) -> bytes:
    """Return the prompt of sudo."""
    return str(plugin.prompt).encode()


def success_of(plugin: BecomeBase) -> bytes:
    """Return the success message."""
    return f"{plugin.success}\n".encode()


GIVEN = PASSWORD.encode() + b"\n"


@pytest.mark.parametrize("name", ["sudo", "su"])
def test_prompt_is_expected_only_with_a_password(name: str) -> None:
    assert escalation_of(name)[1].asks
    assert not Escalation(become(name), 30).asks


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_password_is_sent_once_at_the_prompt(stream: str) -> None:
    plugin, escalation = escalation_of()
    prompt = prompt_of(plugin)
    streams = (prompt, b"") if stream == "stdout" else (b"", prompt)
    assert escalation.answer(b"", b"") is None
    assert escalation.answer(*(part[:10] for part in streams)) is None
    assert escalation.answer(*streams) == GIVEN
    # The prompt is still part of the output afterwards.
    assert escalation.answer(*streams) is None
    assert escalation.answer(success_of(plugin) + streams[0], streams[1]) == b""


def test_password_is_not_sent_after_success() -> None:
    plugin, escalation = escalation_of()
    assert escalation.answer(b"", b"") is None
    # Only a program that already runs can print the prompt after the success message.
    assert escalation.answer(success_of(plugin) + prompt_of(plugin), prompt_of(plugin)) == b""


def test_wrong_password_is_not_sent_twice() -> None:
    plugin, escalation = escalation_of()
    prompt = prompt_of(plugin)
    assert escalation.answer(b"", prompt) == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect sudo password") as caught:
        escalation.answer(b"", prompt + b"\nSorry, try again.\n" + prompt)
    assert PASSWORD not in str(caught.value)


def test_second_prompt_without_a_message_is_a_wrong_password() -> None:
    plugin, escalation = escalation_of()
    prompt = prompt_of(plugin)
    assert escalation.answer(b"", prompt) == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect sudo password"):
        escalation.answer(b"", prompt + b"\n" + prompt)


def test_wrong_password_of_su_is_recognised() -> None:
    dummy, escalation = escalation_of("su")
    assert escalation.answer(b"", b"Password: ") == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect su password"):
        escalation.answer(b"", b"Password: \nsu: Authentication failure\n")


@pytest.mark.parametrize(
    "prompt",
    ["Password: ", "Passwort: ", "パスワード：", "Mot de passe : ", "Contraseña: ", "密码：", "root's Password: "],
)
def test_prompt_of_su_is_recognised_in_every_language(prompt: str) -> None:
    dummy, escalation = escalation_of("su")
    assert escalation.answer(b"", b"Welcome\n") is None
    assert escalation.answer(b"", b"Welcome\n" + prompt.encode()) == GIVEN


def test_prompt_set_by_the_user_is_recognised() -> None:
    dummy, escalation = escalation_of("su", prompt_l10n=["Sesame"])
    assert escalation.answer(b"Sesame: ", b"") == GIVEN
    dummy, escalation = escalation_of("su", prompt_l10n=["Sesame"])
    assert escalation.answer(b"Password: ", b"") is None


@pytest.mark.parametrize("given", [False, True])
def test_missing_success_is_reported_at_the_timeout(given: bool) -> None:
    plugin = become("sudo", become_pass=PASSWORD)
    escalation = Escalation(plugin, 0)
    stderr = b""
    if given:
        stderr = prompt_of(plugin)
        assert escalation.answer(b"", stderr) == GIVEN
    expected = "Timed out waiting for become success" + ("." if given else " or become password prompt.")
    with pytest.raises(AnsibleConnectionFailure) as caught:
        escalation.answer(b"", stderr + b"\nlecture")
    assert expected in str(caught.value)


def test_timeout_starts_at_the_first_output() -> None:
    # The agent may have been busy with other commands since the command was built.
    dummy, escalation = escalation_of()
    assert escalation.answer(b"", b"") is None


def test_password_that_is_not_text_is_sent_unchanged() -> None:
    plugin = become("sudo", become_pass="\udcff")
    assert Escalation(plugin, 30).answer(b"", prompt_of(plugin)) == b"\xff\n"


def test_output_of_the_escalation_is_removed() -> None:
    plugin, escalation = escalation_of()
    prompt, success = prompt_of(plugin), success_of(plugin)
    result = escalation.finish(CompletedProcess(3, success + b"out\n", prompt + b"\nerr\n"))
    assert result == CompletedProcess(3, b"out\n", b"err\n")
    result = escalation.finish(CompletedProcess(0, prompt + b"\n" + success + b"out", b"err"))
    assert result == CompletedProcess(0, b"out", b"err")


def test_success_message_is_removed_without_a_password() -> None:
    plugin = become("sudo")
    assert Escalation(plugin, 30).finish(CompletedProcess(0, success_of(plugin) + b"out", b"")) == CompletedProcess(
        0, b"out", b""
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sudo", b"sudo: a password is required\n", "Missing sudo password"),
        ("sudo", b"Sorry, try again.\nsudo: 1 incorrect password attempt\n", "Incorrect sudo password"),
        ("su", b"su: Authentication failure\n", "Incorrect su password"),
    ],
)
def test_failed_escalation_raises_the_reason(name: str, text: bytes, expected: str) -> None:
    for result in (CompletedProcess(1, b"", text), CompletedProcess(1, text, b"")):
        with pytest.raises(AnsibleError, match=expected):
            Escalation(become(name), 30).finish(result)


def test_other_failures_are_returned_unchanged() -> None:
    result = CompletedProcess(1, b"", b"sudo: unknown user nobody-here\n")
    assert Escalation(become("sudo"), 30).finish(result) == result


def test_text_after_success_belongs_to_the_command() -> None:
    plugin = become("sudo")
    text = b"Sorry, try again.\nsudo: a password is required\n"
    result = Escalation(plugin, 30).finish(CompletedProcess(1, success_of(plugin) + text, text))
    assert result == CompletedProcess(1, text, text)


def test_command_that_exits_with_0_was_run() -> None:
    # There is no success message if the become plugin was not needed.
    result = CompletedProcess(0, b"Sorry, try again.\n", b"sudo: a password is required\n")
    assert Escalation(become("sudo"), 30).finish(result) == result
