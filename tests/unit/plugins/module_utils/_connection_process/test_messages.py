# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages between a task and the connection process."""

from __future__ import annotations

import math
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils import errors
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply, Outcome
from ansible_collections.netless.qga.plugins.module_utils._connection_process.messages import (
    Link,
    MessageDecoder,
    call_from_json,
    call_to_json,
    encode,
    error_from_json,
    error_to_json,
    outcome_from_json,
    outcome_to_json,
)
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply


def across(value: t.Any) -> t.Any:
    """Return a value as the other side of the socket gets it."""
    decoder = MessageDecoder()
    decoder.receive_data(encode({"value": value}))
    message = decoder.next_message()
    assert message is not None
    return message["value"]


def every_error() -> list[type[errors.QgaError]]:
    found = [errors.QgaError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_arrives_as_it_was(kind: type[errors.QgaError]) -> None:
    options: dict[str, t.Any] = {}
    if issubclass(kind, errors.Unreachable):
        options = {"reason": errors.UnreachableReason.LEFT_BEHIND}
    elif issubclass(kind, errors.AgentRefused):
        options = {"error_class": "CommandNotFound", "desc": "no\ud800 such"}
    error = kind("unix:/x: no \x00 answer", **options)
    arrived = error_from_json(across(error_to_json(error)))
    assert arrived.__class__ is kind
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_errors_are_more_than_ten() -> None:
    assert len(every_error()) > 15


@pytest.mark.parametrize(
    "outcome",
    [Answer(0, None), Answer(0, []), Answer(0, {"a": [1, 2.5, "\x00\ud800\u20ac"]}), ErrorReply(0, "", ""), NoReply()],
)
def test_every_outcome_arrives_as_it_was(outcome: Outcome) -> None:
    assert outcome_from_json(across(outcome_to_json(outcome))) == outcome


def test_call_arrives_as_it_was() -> None:
    call = Call("guest-exec", {"path": "/bin/sh", "arg": ["-c", "\u20ac"]}, success_response=False)
    assert call_from_json(across(call_to_json(call))) == call


def test_infinite_timeout_arrives() -> None:
    assert across(math.inf) == math.inf


def test_decoder_takes_single_bytes() -> None:
    decoder = MessageDecoder()
    found = []
    for value in encode({"a": 1}) + encode({}) + encode({"b": "x" * 300}):
        decoder.receive_data(bytes((value,)))
        message = decoder.next_message()
        if message is not None:
            found.append(message)
    assert found == [{"a": 1}, {}, {"b": "x" * 300}]


def test_abandoned_link_returns_what_was_sent_before_and_takes_no_more() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(encode({"started": True}))
        assert Link(ours).abandon() == [{"started": True}]
        with pytest.raises(BrokenPipeError):
            theirs.sendall(encode({"started": True}))


def test_link_gives_up_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        with pytest.raises(TimeoutError):
            link.receive(Deadline.after(0.1))
        with pytest.raises(TimeoutError):
            link.send(b"x" * (64 << 20), Deadline.after(0.1))
