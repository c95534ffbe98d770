# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of public keys that let a user of the guest in by ssh, read and changed through the agent."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.key_plan import KeyPlan
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    LOST_ANSWER,
    AgentRefused,
    CommandUnavailable,
    InvalidRequest,
    ProtocolViolation,
    QgaError,
    TaskFailed,
    error_name,
    excerpt,
)

# How the agent's error ends if the file does not exist. The text is the guest system's, and never in another language:
# qemu-ga sets no locale.
_NO_FILE = "No such file or directory"

# How much a file of keys may hold, in characters. sshd reads all of it for each login.
_MAX_SIZE = 1024 * 1024


class AuthorizedKeys:
    """The file of one user.

    :param agent: the guest's agent.
    :param user: the user's name.
    :param deadline: makes a deadline for each command.
    :raises InvalidRequest: the name is empty.
    """

    def __init__(self, agent: Agent, user: str, deadline: t.Callable[[], Deadline]) -> None:
        if not user:
            raise InvalidRequest("the user's name is empty")
        self._agent = agent
        self._user = user
        self._deadline = deadline
        self._refusal = ""
        self._has_changed = False

    def read(self) -> list[str] | None:
        """Read the lines with keys, in the order of the file.

        :returns: None if the agent cannot read them. Usually the file does not exist, but it may also be that the user
            does not exist, or that the agent is not allowed to read the file.
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
        # The agent begins with the last line.
        return [line for line in reversed(lines) if line]

    @property
    def unreadable_warning(self) -> str:
        """The warning in check mode if :meth:`read` has returned None."""
        return (
            f"{self._agent.endpoint}: the keys of {self._user} cannot be read. Either there are none, or there is no "
            f"such user, or the agent may not look at them"
        )

    def carry_out(self, plan: KeyPlan) -> list[str]:
        """Carry out a plan, if there is anything to do.

        The keys that stay are in the file at any time.

        :returns: warnings for the user.
        :raises AgentRefused: for example, the user does not exist.
        :raises TaskFailed: the agent reports success, but the file shows something else; or an error occurred when a
            part was done.
        """
        if not plan.changes:
            return []
        try:
            is_rewritten = self._carry_out(plan)
        except QgaError as exc:
            if self._has_changed or isinstance(exc, LOST_ANSWER):
                raise TaskFailed(str(exc), error=error_name(exc), changed=True) from exc
            raise
        if not is_rewritten or plan.exclusive:
            return []
        return [f"the file with the keys of {self._user} was rewritten, and comments in it are lost"]

    def verify_absent(self, lines: t.Sequence[str]) -> None:
        """Verify that lines are absent, after :meth:`read` has returned None.

        :raises AgentRefused: for example, the user does not exist.
        :raises TaskFailed: the agent could not read the file for another reason than that it does not exist.
        """
        # It succeeds without a file, and also if the agent is not allowed to look for one. It fails without a user.
        self._remove(lines)
        if not self._refusal.endswith(_NO_FILE):
            raise TaskFailed(
                f"{self._agent.endpoint}: the keys of {excerpt(self._user)} in the guest may be there all the same. "
                f"The agent reports that it has removed them, but it cannot read the file: {excerpt(self._refusal)}",
                error="agent_refused",
            )

    def _carry_out(self, plan: KeyPlan) -> bool:
        """Carry out a plan, and return whether the file was rewritten without its comments."""
        if plan.exclusive:
            self._add(plan.after, reset=True)
            is_rewritten = True
        else:
            if plan.add:
                self._add(plan.add)
            if plan.remove:
                self._remove(plan.remove)
            is_rewritten = self._remove_unequal(plan.remove)
        found = self.read()
        if found is None or set(found) & set(plan.remove) or set(plan.add) - set(found):
            raise TaskFailed(
                f"{self._agent.endpoint}: the keys of {excerpt(self._user)} in the guest are not what the agent was "
                f"asked to make them. Does another program write to the file?",
                error="not_carried_out",
                changed=found != list(plan.before),
                authorized_keys=found or [],
            )
        return is_rewritten

    def _remove(self, lines: t.Sequence[str]) -> None:
        self._change("guest-ssh-remove-authorized-keys", {"keys": list(lines)})

    def _remove_unequal(self, removed: t.Sequence[str]) -> bool:
        """Rewrite the file if it still has lines to remove: with blanks around them they are other lines to the agent.

        :returns: whether it was rewritten.
        """
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
