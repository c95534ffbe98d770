# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving a password to ansible-core's own sudo and su plugins: once, when it is asked for, and to nobody else."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.become import BecomeBase
from ansible.plugins.loader import become_loader, shell_loader

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import CompletedProcess
from ansible_collections.netless.qga.plugins.plugin_utils.become import Escalation

PASSWORD = "pass wörd"


def become(name: str, **options: t.Any) -> BecomeBase:
    """The plugin, which has built a command."""
    plugin: BecomeBase = become_loader.get(name)
    plugin.set_options(direct={"become_user": "root", **options})
    plugin.build_become_command("true", shell_loader.get("sh"))
    return plugin


def asking(name: str = "sudo", **options: t.Any) -> tuple[BecomeBase, Escalation]:
    """The plugin with a password, and what has to be done about it."""
    plugin = become(name, become_pass=PASSWORD, **options)
    return plugin, Escalation(plugin, 30)


def prompt_of(plugin: BecomeBase) -> bytes:
    """What sudo asks with."""
    return str(plugin.prompt).encode()


def success_of(plugin: BecomeBase) -> bytes:
    """What is printed when it worked."""
    return f"{plugin.success}\n".encode()


GIVEN = PASSWORD.encode() + b"\n"


@pytest.mark.parametrize("name", ["sudo", "su"])
def test_asks_only_with_a_password(name: str) -> None:
    assert asking(name)[1].asks
    assert not Escalation(become(name), 30).asks


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_gives_the_password_once_when_it_is_asked_for(stream: str) -> None:
    plugin, escalation = asking()
    prompt = prompt_of(plugin)
    streams = (prompt, b"") if stream == "stdout" else (b"", prompt)
    assert escalation.answer(b"", b"") is None
    assert escalation.answer(*(part[:10] for part in streams)) is None
    assert escalation.answer(*streams) == GIVEN
    # The prompt is still there when it is looked at again.
    assert escalation.answer(*streams) is None
    assert escalation.answer(success_of(plugin) + streams[0], streams[1]) == b""


def test_never_gives_the_password_to_whoever_succeeds_without() -> None:
    plugin, escalation = asking()
    assert escalation.answer(b"", b"") is None
    # Should a program print the prompt, it has been let through already.
    assert escalation.answer(success_of(plugin) + prompt_of(plugin), prompt_of(plugin)) == b""


def test_does_not_give_a_wrong_password_twice() -> None:
    plugin, escalation = asking()
    prompt = prompt_of(plugin)
    assert escalation.answer(b"", prompt) == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect sudo password") as caught:
        escalation.answer(b"", prompt + b"\nSorry, try again.\n" + prompt)
    assert PASSWORD not in str(caught.value)


def test_does_not_give_the_password_when_asked_again_in_silence() -> None:
    plugin, escalation = asking()
    prompt = prompt_of(plugin)
    assert escalation.answer(b"", prompt) == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect sudo password"):
        escalation.answer(b"", prompt + b"\n" + prompt)


def test_knows_what_su_says_to_a_wrong_password() -> None:
    dummy, escalation = asking("su")
    assert escalation.answer(b"", b"Password: ") == GIVEN
    with pytest.raises(AnsibleError, match="Incorrect su password"):
        escalation.answer(b"", b"Password: \nsu: Authentication failure\n")


@pytest.mark.parametrize(
    "prompt",
    ["Password: ", "Passwort: ", "パスワード：", "Mot de passe : ", "Contraseña: ", "密码：", "root's Password: "],
)
def test_knows_the_prompts_of_su_in_every_language(prompt: str) -> None:
    dummy, escalation = asking("su")
    assert escalation.answer(b"", b"Welcome\n") is None
    assert escalation.answer(b"", b"Welcome\n" + prompt.encode()) == GIVEN


def test_knows_a_prompt_that_the_user_named() -> None:
    dummy, escalation = asking("su", prompt_l10n=["Sesame"])
    assert escalation.answer(b"Sesame: ", b"") == GIVEN
    dummy, escalation = asking("su", prompt_l10n=["Sesame"])
    assert escalation.answer(b"Password: ", b"") is None


@pytest.mark.parametrize("given", [False, True])
def test_does_not_wait_for_ever(given: bool) -> None:
    plugin = become("sudo", become_pass=PASSWORD)
    escalation = Escalation(plugin, 0)
    said = b""
    if given:
        said = prompt_of(plugin)
        assert escalation.answer(b"", said) == GIVEN
    expected = "Timed out waiting for become success" + ("." if given else " or become password prompt.")
    with pytest.raises(AnsibleConnectionFailure) as caught:
        escalation.answer(b"", said + b"\nlecture")
    assert expected in str(caught.value)


def test_counts_the_time_from_the_first_look() -> None:
    # Not from when the command was built: until then the agent may have been busy with something else.
    dummy, escalation = asking()
    assert escalation.answer(b"", b"") is None


def test_gives_passwords_that_are_no_text_as_they_are() -> None:
    plugin = become("sudo", become_pass="\udcff")
    assert Escalation(plugin, 30).answer(b"", prompt_of(plugin)) == b"\xff\n"


def test_hides_what_the_escalation_said() -> None:
    plugin, escalation = asking()
    prompt, success = prompt_of(plugin), success_of(plugin)
    result = escalation.finish(CompletedProcess(3, success + b"out\n", prompt + b"\nerr\n"))
    assert result == CompletedProcess(3, b"out\n", b"err\n")
    result = escalation.finish(CompletedProcess(0, prompt + b"\n" + success + b"out", b"err"))
    assert result == CompletedProcess(0, b"out", b"err")


def test_finishes_without_a_password_too() -> None:
    plugin = become("sudo")
    assert Escalation(plugin, 30).finish(CompletedProcess(0, success_of(plugin) + b"out", b"")) == CompletedProcess(
        0, b"out", b""
    )


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("sudo", b"sudo: a password is required\n", "Missing sudo password"),
        ("sudo", b"Sorry, try again.\nsudo: 1 incorrect password attempt\n", "Incorrect sudo password"),
        ("su", b"su: Authentication failure\n", "Incorrect su password"),
    ],
)
def test_says_why_the_command_was_not_run(name: str, said: bytes, expected: str) -> None:
    for result in (CompletedProcess(1, b"", said), CompletedProcess(1, said, b"")):
        with pytest.raises(AnsibleError, match=expected):
            Escalation(become(name), 30).finish(result)


def test_leaves_a_result_alone_that_is_not_about_passwords() -> None:
    result = CompletedProcess(1, b"", b"sudo: unknown user nobody-here\n")
    assert Escalation(become("sudo"), 30).finish(result) == result


def test_takes_what_a_command_says_about_passwords_for_its_own() -> None:
    plugin = become("sudo")
    said = b"Sorry, try again.\nsudo: a password is required\n"
    result = Escalation(plugin, 30).finish(CompletedProcess(1, success_of(plugin) + said, said))
    assert result == CompletedProcess(1, said, said)


def test_takes_a_command_that_succeeded_for_one_that_was_run() -> None:
    # One that the become plugin was not needed for has no success message.
    result = CompletedProcess(0, b"Sorry, try again.\n", b"sudo: a password is required\n")
    assert Escalation(become("sudo"), 30).finish(result) == result
