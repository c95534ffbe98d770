# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors of an exchange whose outcome is not known, so that every channel reports them in the same words."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import OutcomeUnknown, ProtocolViolation, Unreachable


def lost_reply_error(commands: t.Iterable[str], reason: str) -> OutcomeUnknown:
    """Return the error for commands that were sent and not answered.

    :param reason: what happened, on which endpoint.
    """
    names = ", ".join(sorted(set(commands)))
    return OutcomeUnknown(
        f"the answer to {names} is lost. It may have been carried out, so it is not sent again. {reason}"
    )


def unexpected_reply_error(commands: t.Iterable[str], violation: ProtocolViolation) -> ProtocolViolation:
    """Return the error for commands that were sent, and something other than their answer came.

    :param violation: what came, on which endpoint.
    """
    names = ", ".join(sorted(set(commands)))
    return ProtocolViolation(f"{violation}. The answer to {names} is lost, so it may have been carried out")


def partly_answered_error(cause: Unreachable, *, answered: int, total: int) -> OutcomeUnknown:
    """Return the error for an agent that became unreachable between two commands of one exchange.

    :param cause: why it is unreachable.
    :param answered: how many commands it had answered by then.
    :param total: how many commands there are.
    """
    return OutcomeUnknown(f"{cause}. The agent had already answered {answered} of {total} commands")
