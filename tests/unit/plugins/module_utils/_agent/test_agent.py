# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls return values or raise exceptions that name the reason, with agents of every version."""

from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    AgentSilent,
    CommandDisabled,
    CommandMissing,
    FilesystemsFrozen,
    OutcomeUnknown,
    ProtocolViolation,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply, ScriptedAgent

from .._channels.test_stream_channel import commands, hang_up, soon
from ..conftest import Dial


def refuse(desc: str, error_class: str = "GenericError") -> t.Callable[[t.Any], t.NoReturn]:
    """Return a handler that answers with an error."""

    def handle(arguments: t.Any) -> t.NoReturn:
        raise ErrorReply(desc, error_class)

    return handle


def inform(script: ScriptedAgent, **enabled: bool) -> None:
    """Make guest-info list these commands, whatever the script knows."""
    listed = [{"name": name.replace("_", "-"), "enabled": value} for name, value in enabled.items()]
    reply = {"version": "2.12.0", "supported_commands": listed}
    script.handlers["guest-info"] = lambda arguments: reply


def refusal(agent: Agent, command: str = "guest-exec") -> AgentRefused:
    """Return the exception that the call raises."""
    with pytest.raises(AgentRefused) as caught:
        agent.call(command, deadline=soon())
    assert str(caught.value).startswith(f"{agent.endpoint}: {command}: ")
    return caught.value


def test_call_returns_the_value_of_the_reply(dial: Dial) -> None:
    agent = Agent(dial(ScriptedAgent()))
    assert agent.call("guest-get-host-name", deadline=soon()) == {"host-name": "scripted"}
    assert agent.call("guest-fsfreeze-status", {}, deadline=soon()) == "thawed"
    assert agent.endpoint.startswith("unix:") and agent.chunk == 1024 * 1024
    agent.close()
    assert agent.call("guest-ping", deadline=soon()) == {}


def test_call_raises_the_error_of_the_agent(dial: Dial) -> None:
    script = ScriptedAgent()
    script.handlers["guest-exec"] = refuse("Failed to execute child process")
    error = refusal(Agent(dial(script)))
    assert error.__class__ is AgentRefused
    assert (error.error_class, error.desc) == ("GenericError", "Failed to execute child process")
    assert str(error).endswith("guest-exec: Failed to execute child process")


def test_error_quotes_only_the_start_of_a_long_text(dial: Dial) -> None:
    script = ScriptedAgent()
    desc = "Failed:\n\x1b[31m" + "x" * 1_000_000
    script.handlers["guest-exec"] = refuse(desc)
    error = refusal(Agent(dial(script)))
    assert error.desc == desc
    assert "guest-exec: Failed:  [31mxxx" in str(error) and str(error).endswith("xxx...") and len(str(error)) < 600


def test_error_without_text_names_its_class(dial: Dial) -> None:
    script = ScriptedAgent()
    script.handlers["guest-exec"] = refuse("", "Odd")
    assert str(refusal(Agent(dial(script)))).endswith("guest-exec: Odd")


# Texts of agents of different versions.
FROZEN_TEXTS = [
    ("The command guest-exec has been disabled for this instance", "GenericError"),
    ("Command guest-exec has been disabled", "CommandNotFound"),
    ("Command guest-exec has been disabled: the agent is in frozen state", "CommandNotFound"),
    ("Command guest-exec has been disabled: the command is not allowed", "CommandNotFound"),
    ("Der Befehl ist nicht erlaubt", "Anything"),
]


@pytest.mark.parametrize(("desc", "error_class"), FROZEN_TEXTS)
@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_and_disabled_are_distinguished_by_asking(dial: Dial, desc: str, error_class: str, frozen: bool) -> None:
    script = ScriptedAgent()
    script.handlers["guest-exec"] = refuse(desc, error_class)
    script.frozen = frozen
    inform(script, guest_exec=False, guest_fsfreeze_status=True)
    # This test needs its own text, not the one that the script uses while frozen.
    script.frozen_text = desc
    error = refusal(Agent(dial(script)))
    assert error.__class__ is (FilesystemsFrozen if frozen else CommandDisabled)
    assert ("virsh domfsthaw" if frozen else "block-rpcs") in str(error)
    assert desc in str(error)


@pytest.mark.parametrize("profile", ["frozen", "frozen_newer_text"])
@pytest.mark.parametrize("ids", ["modern", "no_ids"])
def test_command_of_a_frozen_guest_raises_filesystems_frozen(dial: Dial, profile: str, ids: str) -> None:
    agent = Agent(dial(ScriptedAgent(ids, profile)))
    assert refusal(agent).__class__ is FilesystemsFrozen
    assert agent.call("guest-fsfreeze-thaw", deadline=soon()) == 1
    assert agent.call("guest-exec", deadline=soon()) == {"pid": 4711}


def test_disabled_command_raises_command_disabled(dial: Dial) -> None:
    error = refusal(Agent(dial(ScriptedAgent("blocked"))))
    assert error.__class__ is CommandDisabled and error.error_class == "CommandNotFound"


def test_disabled_command_of_an_agent_that_cannot_freeze(dial: Dial) -> None:
    script = ScriptedAgent("blocked")
    del script.handlers["guest-fsfreeze-status"]
    assert refusal(Agent(dial(script))).__class__ is CommandDisabled
    assert commands(script)[-1] == "guest-info"


def test_missing_command_raises_command_missing(dial: Dial) -> None:
    error = refusal(Agent(dial(ScriptedAgent())), "guest-get-load")
    assert error.__class__ is CommandMissing
    assert "version 9.2.0, does not know the command. QEMU added it in 10.0, " in str(error)


def test_refused_freeze_status_has_its_own_reason(dial: Dial) -> None:
    script = ScriptedAgent()
    script.disabled.add("guest-fsfreeze-status")
    assert refusal(Agent(dial(script)), "guest-fsfreeze-status").__class__ is CommandDisabled
    script = ScriptedAgent()
    del script.handlers["guest-fsfreeze-status"]
    assert refusal(Agent(dial(script)), "guest-fsfreeze-status").__class__ is CommandMissing
    assert commands(script)[-1] == "guest-info"


def test_require_commands_raises_before_anything_is_sent(dial: Dial) -> None:
    script = ScriptedAgent("blocked")
    agent = Agent(dial(script))
    agent.require_commands("guest-ping", "guest-sync", deadline=soon())
    with pytest.raises(CommandDisabled, match="guest-exec was not sent"):
        agent.require_commands("guest-ping", "guest-exec", deadline=soon())
    with pytest.raises(CommandMissing, match="guest-get-load was not sent"):
        agent.require_commands("guest-get-load", deadline=soon())
    script.frozen = True
    with pytest.raises(FilesystemsFrozen, match="guest-exec was not sent"):
        agent.require_commands("guest-exec", deadline=soon())
    assert not {"guest-ping", "guest-exec", "guest-get-load"} & set(commands(script))


def test_reason_is_asked_for_once(dial: Dial) -> None:
    script = ScriptedAgent()
    inform(script, guest_exec=False, guest_fsfreeze_status=True)
    for command in ("guest-exec", "guest-fsfreeze-status"):
        script.handlers[command] = refuse("no")
    agent = Agent(dial(script))
    assert refusal(agent).__class__ is AgentRefused
    assert commands(script).count("guest-fsfreeze-status") == 1 and commands(script).count("guest-info") == 2
    inform(script, guest_exec=False, guest_fsfreeze_status=False)
    assert refusal(agent, "guest-fsfreeze-status").__class__ is CommandDisabled
    assert commands(script).count("guest-fsfreeze-status") == 2


@pytest.mark.parametrize("command", ["guest-info", "guest-fsfreeze-status"])
def test_refused_guest_info_gives_no_reason(dial: Dial, command: str) -> None:
    script = ScriptedAgent()
    script.disabled |= {"guest-info", "guest-fsfreeze-status", "guest-exec"}
    agent = Agent(dial(script))
    assert refusal(agent, command).__class__ is AgentRefused
    assert refusal(agent).__class__ is AgentRefused


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        "text",
        {},
        {"version": 9, "supported_commands": []},
        {"version": "9"},
        {"version": "9", "supported_commands": {}},
        {"version": "9", "supported_commands": [1]},
        {"version": "9", "supported_commands": [{}]},
        {"version": "9", "supported_commands": [{"name": ["guest-exec"]}]},
        {"version": "9", "supported_commands": [{"name": "guest-exec", "enabled": 1}]},
        {"version": "9", "supported_commands": [{"name": "guest-exec", "enabled": None}]},
    ],
)
def test_malformed_guest_info_is_a_violation(dial: Dial, reply: t.Any) -> None:
    script = ScriptedAgent()
    script.handlers["guest-info"] = lambda arguments: reply
    script.handlers["guest-exec"] = refuse("no")
    agent = Agent(dial(script))
    with pytest.raises(ProtocolViolation):
        agent.info(soon())
    # The refusal itself stays the same.
    error = refusal(agent)
    assert error.__class__ is AgentRefused and error.desc == "no"


def test_info_is_remembered_until_close(dial: Dial) -> None:
    script = ScriptedAgent("blocked")
    agent = Agent(dial(script))
    info = agent.info(soon())
    assert info.version == "9.2.0"
    assert info.commands["guest-ping"] is True and info.commands["guest-exec"] is False
    assert agent.info(soon()) is info
    assert commands(script).count("guest-info") == 1
    agent.close()
    script.version = "10.0.0"
    assert agent.info(soon()).version == "10.0.0"


def test_command_without_enabled_member_is_enabled(dial: Dial) -> None:
    # The member came with QEMU 1.2 or so.
    script = ScriptedAgent()
    script.handlers["guest-info"] = lambda arguments: {"version": "1.1", "supported_commands": [{"name": "guest-exec"}]}
    assert Agent(dial(script)).info(soon()).commands == {"guest-exec": True}


def lose_first_answer(script: ScriptedAgent, command: str, *, how: t.Callable[[t.Any], t.Any]) -> None:
    """Make a command lose its first answer. Later answers are the number of the call."""
    numbers = itertools.count(1)

    def handle(arguments: t.Any) -> t.Any:
        number = next(numbers)
        return how(arguments) if number == 1 else number

    script.handlers[command] = handle


LOSSES: list[t.Callable[[t.Any], t.Any]] = [lambda arguments: NO_REPLY, hang_up]


@pytest.mark.parametrize("how", LOSSES)
def test_repeatable_command_is_sent_again(dial: Dial, how: t.Callable[[t.Any], t.Any]) -> None:
    script = ScriptedAgent()
    lose_first_answer(script, "guest-get-time", how=how)
    agent = Agent(dial(script, reply_timeout=0.3))
    assert agent.call("guest-get-time", deadline=soon(), repeatable=True) == 2
    assert commands(script).count("guest-get-time") == 2


@pytest.mark.parametrize("how", LOSSES)
def test_other_command_is_not_sent_again(dial: Dial, how: t.Callable[[t.Any], t.Any]) -> None:
    script = ScriptedAgent()
    lose_first_answer(script, "guest-exec", how=how)
    agent = Agent(dial(script, reply_timeout=0.3))
    with pytest.raises(OutcomeUnknown):
        agent.call("guest-exec", deadline=soon())
    assert commands(script).count("guest-exec") == 1
    assert agent.call("guest-exec", deadline=soon()) == 2


def test_repeatable_command_is_sent_again_once(dial: Dial) -> None:
    script = ScriptedAgent("never")
    agent = Agent(dial(script, reply_timeout=0.2))
    with pytest.raises(OutcomeUnknown):
        agent.call("guest-ping", deadline=soon(), repeatable=True)
    assert commands(script).count("guest-ping") == 2


def test_command_is_not_sent_again_after_the_deadline(dial: Dial) -> None:
    script = ScriptedAgent("never")
    agent = Agent(dial(script))
    with pytest.raises(OutcomeUnknown):
        agent.call("guest-ping", deadline=Deadline.after(0.3), repeatable=True)
    assert commands(script).count("guest-ping") == 1


def test_reason_is_not_needed_if_the_agent_is_gone(dial: Dial) -> None:
    script = ScriptedAgent()
    script.handlers["guest-exec"] = refuse("no")
    script.handlers["guest-info"] = hang_up
    assert refusal(Agent(dial(script))).desc == "no"


def test_call_all_returns_values_and_errors(dial: Dial) -> None:
    script = ScriptedAgent("blocked")
    calls = [Call("guest-ping"), Call("guest-exec"), Call("guest-nope"), Call("guest-get-host-name")]
    ping, blocked, missing, name = Agent(dial(script)).call_all(calls, deadline=soon())
    assert (ping, name) == ({}, {"host-name": "scripted"})
    assert blocked.__class__ is CommandDisabled and missing.__class__ is CommandMissing


@pytest.mark.parametrize("frozen", [False, True])
def test_call_all_withholds_what_the_agent_would_refuse(dial: Dial, frozen: bool) -> None:
    script = ScriptedAgent("blocked", *["frozen"] * frozen)
    calls = [Call("guest-nope"), Call("guest-exec"), Call("guest-exec-status"), Call("guest-fsfreeze-status")]
    agent = Agent(dial(script))
    missing, *disabled, status = agent.call_all(calls, deadline=soon(), only_allowed=True)
    assert missing.__class__ is CommandMissing and "guest-nope was not sent" in str(missing)
    assert {error.__class__ for error in disabled} == {FilesystemsFrozen if frozen else CommandDisabled}
    assert status == ("frozen" if frozen else "thawed")
    assert commands(script) == ["guest-sync-delimited", "guest-info", *["guest-fsfreeze-status"] * 2]


def test_call_all_sends_everything_if_guest_info_is_refused(dial: Dial) -> None:
    script = ScriptedAgent()
    script.disabled |= {"guest-info", "guest-exec"}
    ping, blocked = Agent(dial(script)).call_all(
        [Call("guest-ping"), Call("guest-exec")], deadline=soon(), only_allowed=True
    )
    assert ping == {} and blocked.__class__ is AgentRefused


def test_call_all_takes_a_refused_status_for_not_frozen(dial: Dial) -> None:
    script = ScriptedAgent()
    inform(script, guest_exec=False, guest_fsfreeze_status=True)
    script.handlers["guest-fsfreeze-status"] = refuse("no")
    (error,) = Agent(dial(script)).call_all([Call("guest-exec")], deadline=soon(), only_allowed=True)
    assert error.__class__ is CommandDisabled


def test_call_all_returns_none_for_a_silent_command(dial: Dial) -> None:
    script = ScriptedAgent()
    agent = Agent(dial(script))
    assert agent.call("guest-ping", deadline=soon()) == {}
    calls = [Call("guest-ping"), Call("guest-suspend-ram", success_response=False)]
    assert agent.call_all(calls, deadline=Deadline.after(0.3)) == [{}, None]


def test_call_silent_returns_at_the_deadline_or_raises(dial: Dial) -> None:
    script = ScriptedAgent()
    agent = Agent(dial(script))
    agent.call_silent("guest-shutdown", {"mode": "halt"}, deadline=Deadline.after(0.3))
    assert script.requests[-1]["arguments"] == {"mode": "halt"}
    script.disabled.add("guest-shutdown")
    with pytest.raises(CommandDisabled):
        agent.call_silent("guest-shutdown", deadline=Deadline.after(5))


def test_sync_and_pause_use_the_channel(dial: Dial) -> None:
    script = ScriptedAgent()
    agent = Agent(dial(script, connect_timeout=0.6))
    assert agent.sync(soon()).delimited
    agent.pause(0.01, soon())
    script.silent = True
    with pytest.raises(AgentSilent):
        agent.sync(Deadline.after(0.6))


def test_something_else_goes_on_while_a_caller_waits(dial: Dial) -> None:
    waits: list[tuple[float, Deadline]] = []
    agent = Agent(dial(ScriptedAgent()))
    agent.while_waiting = lambda seconds, deadline: waits.append((seconds, deadline))
    deadline = soon()
    agent.call("guest-ping", deadline=deadline)
    agent.pause(3600.0, deadline)
    assert waits == [(0.0, deadline), (3600.0, deadline)]
    agent.sleep(0.01, deadline)
    agent.while_waiting = None
    agent.pause(0.01, deadline)
    assert len(waits) == 2


class KeptChannel(StreamChannel):
    """A channel that records what the process that keeps it open is asked for."""

    def __init__(self, path: str) -> None:
        super().__init__(UnixConnector(path))
        self.asked: list[tuple[str, Call | None]] = []
        self.owner_name = "owner"

    def drop(self) -> None:
        self.asked.append(("drop", None))

    def at_end(self, key: str, call: Call | None) -> None:
        self.asked.append((key, call))


def test_drop_and_at_end_reach_the_process_that_keeps_the_channel() -> None:
    with ScriptedAgent().listening() as path:
        channel = KeptChannel(path)
        agent = Agent(channel)
        agent.sync(soon())
        assert agent.owner_name == "owner"
        agent.at_end("last", Call("guest-ping"))
        agent.at_end("last", None)
        agent.drop()
        assert channel.asked == [("last", Call("guest-ping")), ("last", None), ("drop", None)]
        assert agent.sync(soon()).delimited
        channel.close()


def test_drop_closes_a_channel_that_no_process_keeps(dial: Dial) -> None:
    script = ScriptedAgent()
    agent = Agent(dial(script))
    assert agent.reply_chunk == agent.chunk and agent.owner_name is None
    agent.at_end("last", Call("guest-ping"))
    agent.info(soon())
    agent.drop()
    agent.info(soon())
    assert commands(script).count("guest-info") == 2
    assert "guest-ping" not in commands(script)


def test_reply_is_checked_before_it_is_used(dial: Dial) -> None:
    def check(command: str, reply: t.Any, deadline: Deadline) -> None:
        if command == "guest-get-host-name":
            raise ProtocolViolation(f"{command}: host-name: not today")

    agent = Agent(dial(ScriptedAgent()), check_reply=check)
    assert agent.call("guest-ping", deadline=soon()) == {}
    with pytest.raises(ProtocolViolation, match="guest-get-host-name: host-name: not today") as caught:
        agent.call("guest-get-host-name", deadline=soon())
    assert str(caught.value).startswith(f"{agent.endpoint}: ")


def test_allows_requires_every_command_to_be_enabled(dial: Dial) -> None:
    script = ScriptedAgent()
    inform(script, guest_exec=True, guest_file_open=False)
    info = Agent(dial(script)).info(soon())
    assert info.allows("guest-exec") and info.allows()
    assert not info.allows("guest-exec", "guest-file-open") and not info.allows("guest-nothing")
