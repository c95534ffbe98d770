# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys that let in a user of the guest's by ssh."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    TaskFailed,
    error_name,
    excerpt,
)

# A field of a line: options come before the key, and have blanks in quotes.
_FIELD = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+')

# How the agent's refusal ends where a file is not there. It has this from the guest's kernel, and never speaks another
# language: qemu-ga sets no locale.
_NO_FILE = "No such file or directory"

# How much a file of keys may hold, in characters. sshd looks through all of it for each login.
_MAX_SIZE = 1024 * 1024


def key_lines(texts: t.Iterable[str]) -> list[str]:
    """The keys in some texts, each of one or more lines. Empty lines and comments are left out."""
    lines = (line.strip() for text in texts for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def key_of(line: str) -> str | None:
    """The key in a line, without its options and comment; None if there is none."""
    fields = _FIELD.findall(line)
    for kind, blob in zip(fields[:2], fields[1:3]):
        try:
            data = base64.b64decode(blob, validate=True)
        except (binascii.Error, ValueError):
            continue
        # A public key says itself of which kind it is (RFC 4253, 6.6).
        if data.startswith(struct.pack(">I", len(kind)) + kind.encode("utf-8", errors="replace")):
            return f"{kind} {blob}"
    return None


def check_keys(lines: t.Sequence[str]) -> None:
    """See that each line has a public key. The agent takes anything for one.

    :raises InvalidRequest: one has none. The message does not tell what it has, which may be a private key.
    """
    for number, line in enumerate(lines, 1):
        if key_of(line) is None:
            raise InvalidRequest(
                f"line {number} of the keys has no public key in it, as in a .pub file: options if there are any, its "
                f"type, the key in base64, and a comment. Options that have a comma have to be in a list"
            )


@dataclass(frozen=True)
class Plan:
    """What to do with a user's keys.

    :param before: the lines there are.
    :param after: the lines there will be.
    :param add: lines to add.
    :param remove: lines to remove.
    """

    before: t.Sequence[str]
    after: t.Sequence[str]
    add: t.Sequence[str] = ()
    remove: t.Sequence[str] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.add or self.remove)


def plan_present(before: t.Sequence[str], wanted: t.Sequence[str], *, exclusive: bool) -> Plan:
    """How to have the wanted lines, and no other line with one of their keys.

    :param exclusive: whether to have no other line at all.
    """
    # Of two lines with the same key the last one counts.
    lines = {key_of(line): line for line in wanted}
    kept, known = set(lines.values()), set(before)
    add = [line for line in lines.values() if line not in known]
    remove = {line: None for line in before if line not in kept and (exclusive or key_of(line) in lines)}
    return Plan(before, [line for line in before if line not in remove] + add, add, list(remove))


def plan_absent(before: t.Sequence[str], unwanted: t.Sequence[str]) -> Plan:
    """How to have no line with one of the unwanted keys."""
    keys = {key_of(line) for line in unwanted}
    remove = {line: None for line in before if key_of(line) in keys}
    return Plan(before, [line for line in before if line not in remove], remove=list(remove))


class AuthorizedKeys:
    """The file of one user.

    :param agent: of the guest.
    :param user: whose keys they are.
    :param deadline: gives a deadline for each command.
    :raises InvalidRequest: there is no name.
    """

    def __init__(self, agent: Agent, user: str, deadline: t.Callable[[], Deadline]) -> None:
        if not user:
            raise InvalidRequest("there is no user without a name")
        self._agent = agent
        self._user = user
        self._deadline = deadline
        self._refusal = ""
        self._has_changed = False

    def read(self) -> list[str] | None:
        """The lines with keys, in the order of the file.

        :returns: None if the agent cannot read them. As a rule there is no file, but it may as well be that there is no
            such user, or that the agent may not look.
        """
        command = "guest-ssh-get-authorized-keys"
        try:
            reply = self._agent.call(command, {"username": self._user}, deadline=self._deadline(), repeatable=True)
        except CommandUnavailable:
            raise
        except AgentRefused as exc:
            self._refusal = exc.desc
            return None
        lines = [line.strip() for line in reply["keys"]]
        if sum(map(len, lines)) > _MAX_SIZE:
            raise ProtocolViolation(f"{self._agent.endpoint}: {command}: more than {_MAX_SIZE} characters of keys")
        # The agent begins with the last one.
        return [line for line in reversed(lines) if line]

    def carry_out(self, plan: Plan, *, exclusive: bool) -> bool:
        """Do what is planned.

        At no time is the user without the keys that stay.

        :param exclusive: whether the lines after it are to be all of the file.
        :returns: whether the file was written anew, without its comments.
        :raises AgentRefused: among others, there is no such user.
        :raises TaskFailed: the agent says that it has done it, and its file shows that it has not; or something went
            wrong when it had done a part.
        """
        try:
            return self._carry_out(plan, exclusive=exclusive)
        except QgaError as exc:
            if self._has_changed or isinstance(exc, OutcomeUnknown):
                raise TaskFailed(str(exc), error=error_name(exc), changed=True) from exc
            raise

    def verify_absent(self, lines: t.Sequence[str]) -> None:
        """See that the lines are not there, where the agent has just not been able to read any.

        :raises AgentRefused: among others, there is no such user.
        :raises TaskFailed: it is not for want of a file that it could not.
        """
        # It succeeds without a file, and where the agent may not look for one. It fails without a user.
        self._remove(lines)
        if not self._refusal.endswith(_NO_FILE):
            raise TaskFailed(
                f"{self._agent.endpoint}: the keys of {excerpt(self._user)} in the guest may be there all the same. "
                f"The agent says that it has removed them, and cannot read the file: {excerpt(self._refusal)}",
                error="agent_refused",
            )

    def _carry_out(self, plan: Plan, *, exclusive: bool) -> bool:
        if exclusive:
            self._add(plan.after, reset=True)
            written_anew = True
        else:
            if plan.add:
                self._add(plan.add)
            if plan.remove:
                self._remove(plan.remove)
            written_anew = self._remove_unequal(plan.remove)
        found = self.read()
        if found is None or set(found) & set(plan.remove) or set(plan.add) - set(found):
            raise TaskFailed(
                f"{self._agent.endpoint}: the keys of {excerpt(self._user)} in the guest are not what the agent was "
                f"asked to make them. Does somebody else write to the file?",
                error="not_carried_out",
                changed=found != list(plan.before),
                authorized_keys=found or [],
            )
        return written_anew

    def _remove(self, lines: t.Sequence[str]) -> None:
        self._change("guest-ssh-remove-authorized-keys", {"keys": list(lines)})

    def _remove_unequal(self, removed: t.Sequence[str]) -> bool:
        """Remove the lines that are there all the same: with blanks around them they are others to the agent."""
        found = (self.read() or []) if removed else []
        if not set(found) & set(removed):
            return False
        self._add([line for line in found if line not in set(removed)], reset=True)
        return True

    def _add(self, lines: t.Sequence[str], *, reset: bool = False) -> None:
        arguments: dict[str, t.Any] = {"keys": list(lines)}
        if reset:
            arguments["reset"] = True
        self._change("guest-ssh-add-authorized-keys", arguments)

    def _change(self, command: str, arguments: t.Mapping[str, t.Any]) -> None:
        self._agent.call(command, {"username": self._user, **arguments}, deadline=self._deadline())
        self._has_changed = True
