# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The passwords of a guest's users: setting them, and finding out whether that changes anything."""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts import password_hash
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    CommandDisabled,
    CommandMissing,
    GuestFileError,
    InvalidRequest,
)

_SHADOW = "/etc/shadow"

# In bytes, far more than the users of a guest need.
_MAX_SIZE = 4 * 1024 * 1024

_SEPARATORS = ("\n", "\r", "\0")


@dataclass(frozen=True, repr=False)
class Password:
    """The password that a user is to have.

    :param user: the user's name.
    :param text: the password itself, or its hash.
    :param encrypted: whether it is the hash.
    :raises InvalidRequest: no user or no password can be like that. The message does not contain the password.
    """

    user: str
    text: str
    encrypted: bool

    def __post_init__(self) -> None:
        if not self.user or any(char in self.user for char in (":", *_SEPARATORS)):
            raise InvalidRequest("the user's name must not be empty, and must not contain colons or newlines")
        if not self.text or any(char in self.text for char in _SEPARATORS):
            raise InvalidRequest("the password must not be empty, and must not contain newlines or null bytes")
        if self.encrypted and not password_hash.is_hash(self.text):
            raise InvalidRequest(
                "with encrypted=true the password has to be a hash of crypt(3), which begins for example with $6$ or "
                "$y$, or * for an account without a password. This one is neither, and was not sent"
            )

    def is_set(self, agent: Agent, deadline: Deadline) -> bool | None:
        """Check whether the user has this password already.

        :returns: None if that cannot be found out.
        """
        known = _known_hash(agent, self.user, deadline)
        if known is None:
            return None
        if self.encrypted:
            return known == self.text
        return password_hash.is_hash_of(known, self.text)

    def set(self, agent: Agent, deadline: Deadline) -> None:
        """Set the password.

        :raises AgentRefused: for example, the user does not exist.
        """
        arguments = {
            "username": self.user,
            "password": base64.b64encode(self.text.encode("utf-8")).decode("ascii"),
            "crypted": self.encrypted,
        }
        agent.call("guest-set-user-password", arguments, deadline=deadline)


def _known_hash(agent: Agent, user: str, deadline: Deadline) -> str | None:
    """Return the user's hash in the guest; None if the agent cannot read it."""
    text = b""
    try:
        with Files(agent).open(_SHADOW, "r", deadline) as opened:
            for chunk in opened.chunks(deadline):
                text += chunk
                if len(text) > _MAX_SIZE:
                    return None
    except (CommandDisabled, CommandMissing, GuestFileError):
        return None
    return _hash_in(text.decode("utf-8", errors="replace").split("\n"), user)


def _hash_in(lines: t.Iterable[str], user: str) -> str | None:
    for line in lines:
        fields = line.split(":")
        if fields[0] == user and len(fields) > 1:
            return fields[1]
    return None
