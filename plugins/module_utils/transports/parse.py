# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns the text of an endpoint into the transport that opens it."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest
from ansible_collections.netless.qga.plugins.module_utils.transports.exec import ExecEndpoint
from ansible_collections.netless.qga.plugins.module_utils.transports.transport import Endpoint
from ansible_collections.netless.qga.plugins.module_utils.transports.unix import UnixEndpoint

_KINDS: dict[str, t.Callable[[str], Endpoint]] = {"unix": UnixEndpoint, "exec": ExecEndpoint}


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that a user wrote.

    :param text: ``unix:PATH`` or ``exec:COMMAND``.
    :raises InvalidRequest: it is none of these.
    """
    kind, rest = text.partition(":")[::2]
    if kind not in _KINDS or not rest.strip():
        raise InvalidRequest(
            f"'{text}' is not an endpoint of a guest agent: use unix:PATH for a socket, or exec:COMMAND for a program "
            f"whose standard input and output lead to the agent"
        )
    return _KINDS[kind](rest)
