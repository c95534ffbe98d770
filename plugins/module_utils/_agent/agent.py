# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An agent that can be called: commands become values, or exceptions that name the reason."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.advice import HOW_TO_THAW, how_to_allow
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import ReplyReader
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import (
    Call,
    Channel,
    KeptOpen,
    NoReply,
    Outcome,
    SyncReport,
)
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandDisabled,
    CommandMissing,
    FilesystemsFrozen,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    excerpt,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply


@dataclass(frozen=True)
class AgentInfo:
    """The agent's description of itself, from guest-info (QAPI ``GuestAgentInfo``).

    :param version: the agent's version, like ``7.2.22``.
    :param commands: the commands it knows, and whether each is enabled.
    """

    version: str
    commands: t.Mapping[str, bool]

    def allows(self, *commands: str) -> bool:
        """Return whether the agent knows all these commands, and they are enabled."""
        return all(self.commands.get(command) for command in commands)


class Agent:
    """One guest's agent.

    :param channel: the channel to it.
    :param check_reply: takes each command, the value of its reply before the value is used, and the deadline of the
        call; raises :exc:`ProtocolViolation` if the value is not what the command returns.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        check_reply: t.Callable[[str, t.Any, Deadline], None] = lambda command, reply, deadline: None,
    ) -> None:
        self._channel = channel
        self._check_reply = check_reply
        self._info: AgentInfo | None = None
        #: What to do while :meth:`pause` waits, instead of sleeping, and for no time after each call. It takes the
        #: same arguments, raises nothing, and its own calls lead to no others.
        self.while_waiting: t.Callable[[float, Deadline], None] | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint of the agent, for messages."""
        return self._channel.endpoint

    @property
    def chunk(self) -> int:
        """How many bytes of a file suit one request."""
        return self._channel.chunk

    @property
    def reply_chunk(self) -> int:
        """How many bytes of a file suit one reply."""
        return self._channel.reply_chunk

    @property
    def owner_name(self) -> str | None:
        """A name of the Ansible process whose tasks use the agent, if its end is noticed (see :meth:`at_end`)."""
        return self._channel.owner_name if isinstance(self._channel, KeptOpen) else None

    def call(
        self,
        command: str,
        arguments: t.Mapping[str, t.Any] | None = None,
        *,
        deadline: Deadline,
        repeatable: bool = False,
    ) -> t.Any:
        """Have the agent carry out one command.

        :param command: its name.
        :param arguments: its arguments, as QEMU's qga/qapi-schema.json has them.
        :param deadline: for everything that the call takes, connecting included.
        :param repeatable: whether the command may be carried out twice without harm. If so, it is sent once more when
            its answer is lost.
        :returns: the value of the reply, as JSON has it. It comes from the guest and is not trustworthy.
        :raises Unreachable: there is no agent; nothing was carried out.
        :raises OutcomeUnknown: the answer is lost, and the command may have been carried out.
        :raises ProtocolViolation: something other than an agent answered.
        :raises AgentRefused: the agent's error, as a subclass if the command is missing, disabled or frozen.
        :raises InvalidRequest: the arguments cannot be sent.
        """
        call = Call(command, arguments or {})
        try:
            (result,) = self.call_all([call], deadline=deadline)
        except OutcomeUnknown:
            if not repeatable or deadline.passed:
                raise
            (result,) = self.call_all([call], deadline=deadline)
        if isinstance(result, AgentRefused):
            raise result
        return result

    def call_all(self, calls: t.Sequence[Call], *, deadline: Deadline, only_allowed: bool = False) -> list[t.Any]:
        """Have the agent carry out several commands in order, without waiting for one before the next is sent.

        :param calls: the commands.
        :param deadline: for everything that the calls take, connecting included.
        :param only_allowed: send only the commands that guest-info lists as enabled. The results of the others are the
            errors that :meth:`require_commands` raises for them. An agent that refuses guest-info gets all commands.
        :returns: the value of each reply, or the :class:`AgentRefused` that :meth:`call` would raise.
        :raises Unreachable: and the others as :meth:`call` does, except :class:`AgentRefused`.
        """
        withheld = self._withheld([call.command for call in calls], deadline) if only_allowed else {}
        sent = [call for call in calls if call.command not in withheld]
        outcomes = self._channel.exchange(sent, deadline)
        if self.while_waiting is not None:
            # It must go on also while many calls follow one another, as they do to copy a file.
            self.while_waiting(0.0, deadline)
        results = iter([self._result(call, outcome, deadline) for call, outcome in zip(sent, outcomes)])
        return [withheld[call.command] if call.command in withheld else next(results) for call in calls]

    def call_silent(self, command: str, arguments: t.Mapping[str, t.Any] | None = None, *, deadline: Deadline) -> None:
        """Have the agent carry out a command that is silent when it succeeds (QAPI's ``success-response: false``).

        :param deadline: how long to wait for an error. Silence until then, or the end of the channel, counts as
            success. Whether the guest has really shut down or suspended has to be observed in another way.
        :raises AgentRefused: the agent's error.
        """
        call = Call(command, arguments or {}, success_response=False)
        (outcome,) = self._channel.exchange([call], deadline)
        if isinstance(outcome, ErrorReply):
            raise self._refused(call, outcome, Deadline.after(max(1.0, deadline.remaining())))

    def sync(self, deadline: Deadline) -> SyncReport:
        """Resync the channel, which also shows that the agent is there.

        :raises Unreachable: no agent answered before the deadline.
        """
        return self._channel.sync(deadline)

    def info(self, deadline: Deadline) -> AgentInfo:
        """Return what guest-info reports. The agent is asked once, and the result is remembered until :meth:`close`."""
        if self._info is None:
            self._info = self._read_info(deadline)
        return self._info

    def require_commands(self, *commands: str, deadline: Deadline) -> None:
        """Check that the agent carries out these commands, before one that is not answered or starts a series.

        :raises AgentRefused: it refuses one of them, as :meth:`call` would raise it. None of them was sent.
        """
        info = self.info(deadline)
        for command in commands:
            if not info.allows(command):
                raise self._not_sent(command, *self._reason(command, deadline))

    def reader(self, command: str) -> ReplyReader:
        """Return a reader of the replies to a command, for the values that a caller relies on."""
        return ReplyReader(self.endpoint, command)

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """Wait, and let other processes use the channel in the meantime."""
        if self.while_waiting is None:
            self.sleep(seconds, deadline)
        else:
            self.while_waiting(seconds, deadline)

    def sleep(self, seconds: float, deadline: Deadline) -> None:
        """Wait as :meth:`pause` does, and do nothing else."""
        self._channel.pause(seconds, deadline)

    def close(self) -> None:
        """Close the channel. This may be called again; a later call opens the channel again."""
        self._channel.close()
        self._info = None

    def drop(self) -> None:
        """Close the channel as :meth:`close` does, also in the process that keeps it open between tasks.

        :raises Unreachable: that process cannot be reached.
        """
        self.close()
        if isinstance(self._channel, KeptOpen):
            self._channel.drop()

    def at_end(self, key: str, call: Call | None) -> None:
        """Have a call carried out when all Ansible processes that used the agent have ended.

        It is carried out once, if no agent answers then it is not, and nobody gets to know its outcome. Without a
        process that keeps the channel open between tasks, it is never carried out.

        :param key: replaces what was registered with the same key before.
        :param call: the call; None removes what was registered.
        :raises Unreachable: that process cannot be reached.
        """
        if isinstance(self._channel, KeptOpen):
            self._channel.at_end(key, call)

    def _read_info(self, deadline: Deadline) -> AgentInfo:
        reply = self.call("guest-info", deadline=deadline, repeatable=True)
        reader = self.reader("guest-info")
        commands = reader.member(reply, "supported_commands", list)
        return AgentInfo(
            version=reader.member(reply, "version", str),
            commands={
                reader.member(command, "name", str): reader.optional(command, "enabled", True) for command in commands
            },
        )

    def _result(self, call: Call, outcome: Outcome, deadline: Deadline) -> t.Any:
        if isinstance(outcome, Answer):
            try:
                self._check_reply(call.command, outcome.value, deadline)
            except ProtocolViolation as exc:
                raise ProtocolViolation(f"{self.endpoint}: {exc}") from exc
            return outcome.value
        if isinstance(outcome, NoReply):
            return None
        return self._refused(call, outcome, deadline)

    def _refused(self, call: Call, refusal: ErrorReply, deadline: Deadline) -> AgentRefused:
        kind, advice = self._reason(call.command, deadline)
        text = f"{self.endpoint}: {call.command}: {excerpt(refusal.desc or refusal.error_class)}"
        return kind(f"{text}. {advice}" if advice else text, error_class=refusal.error_class, desc=refusal.desc)

    def _withheld(self, commands: t.Sequence[str], deadline: Deadline) -> dict[str, AgentRefused]:
        """Return the errors of the commands that the agent would refuse; none if it refuses guest-info."""
        try:
            info = self.info(deadline)
        except AgentRefused:
            # An agent that is not allowed even this may be allowed other commands.
            return {}
        refused = [command for command in commands if not info.allows(command)]
        try:
            frozen = self._is_frozen(info, refused, deadline)
        except AgentRefused:
            frozen = False
        return {command: self._not_sent(command, *_why_refused(command, info, frozen=frozen)) for command in refused}

    def _not_sent(self, command: str, kind: type[AgentRefused], advice: str) -> AgentRefused:
        return kind(f"{self.endpoint}: {command} was not sent, because the agent would refuse it. {advice}")

    def _reason(self, command: str, deadline: Deadline) -> tuple[type[AgentRefused], str]:
        """Find out why the agent refused the command, from what it reports about itself now.

        The texts of its errors differ by version. Since QEMU 6.0 a missing, a disabled and a frozen command are all of
        class CommandNotFound; before 6.0 only a missing one is. A frozen agent lists nearly all of its commands as not
        enabled.
        """
        if command == "guest-info":
            return AgentRefused, ""
        try:
            info = self._read_info(deadline)
            return _why_refused(command, info, frozen=self._is_frozen(info, [command], deadline))
        except QgaError:
            # The refusal itself is certain, and more useful than the error of asking why.
            return AgentRefused, ""

    def _is_frozen(self, info: AgentInfo, refused: t.Sequence[str], deadline: Deadline) -> bool:
        """Whether the guest is frozen, as far as that can be the reason why the agent refuses these commands."""
        if not info.allows("guest-fsfreeze-status") or all(info.commands.get(name) is not False for name in refused):
            return False
        return bool(self.call("guest-fsfreeze-status", deadline=deadline, repeatable=True) == "frozen")


def _why_refused(command: str, info: AgentInfo, *, frozen: bool) -> tuple[type[AgentRefused], str]:
    """Return the kind of error for a refused command, and what to do about it."""
    if command not in info.commands:
        from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import since

        version = since(command)
        added = f". QEMU added it in {version}, and not for every operating system" if version else ""
        return CommandMissing, f"This agent, version {excerpt(info.version)}, does not know the command{added}"
    if info.commands[command]:
        return AgentRefused, ""
    return (FilesystemsFrozen, HOW_TO_THAW) if frozen else (CommandDisabled, how_to_allow())
