# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the scripted agent, against the behaviour of real agents."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from . import scripted_agent
from .agent_profiles import DELIVERIES
from .scripted_agent import STRAY_FF, ErrorReply, RequestParser, ScriptedAgent

SYNC = b'\xff{"execute": "guest-sync-delimited", "arguments": {"id": 7}}\n'
SYNCED = STRAY_FF + b'\xff{"return": 7}\n'


def ask(agent: ScriptedAgent, request: bytes, seconds: float = 2.0) -> bytes:
    """Return everything that an agent sends after some bytes, until 0.2 seconds after the first of it.

    :param seconds: how long to wait for the first byte.
    """
    deadline = time.monotonic() + seconds
    received = b""
    with agent.connected() as client, contextlib.suppress(socket.timeout):
        client.sendall(request)
        while (remaining := deadline - time.monotonic()) > 0:
            client.settimeout(remaining)
            chunk = client.recv(1 << 16)
            if not chunk:
                break
            if not received:
                deadline = time.monotonic() + 0.2
            received += chunk
    return received


def reply_of(agent: ScriptedAgent, request: dict[str, Any]) -> Any:
    """Return the one reply to one request."""
    return json.loads(ask(agent, json.dumps(request).encode()))


@pytest.mark.parametrize(
    ("stream", "texts"),
    [
        (b'{"a": 1}{"b": [2]}\n', [b'{"a": 1}', b'{"b": [2]}']),
        (b'{"a": "}\\"{"}', [b'{"a": "}\\"{"}']),
        (b'{"execute": "guest-pi\xff{"a": 1}', [b"\xff", b'{"a": 1}']),
        (b"\xff\n\xff", [b"\xff", b"\xff"]),
        (b'Hello {"a": 1}', [b"H", b'{"a": 1}']),
        (b"}[]\r\n\t ", [b"}", b"[]"]),
    ],
)
def test_parser_splits_requests_anywhere(stream: bytes, texts: list[bytes]) -> None:
    assert list(RequestParser().feed(stream)) == texts
    parser = RequestParser()
    assert [text for value in stream for text in parser.feed(bytes((value,)))] == texts


def test_agent_without_profiles_answers_like_a_current_one() -> None:
    agent = ScriptedAgent("modern")
    assert ask(agent, SYNC) == SYNCED
    assert reply_of(agent, {"execute": "guest-ping", "id": [1, None]}) == {"return": {}, "id": [1, None]}
    assert reply_of(agent, {"execute": "nope", "id": 2})["error"]["class"] == "CommandNotFound"
    assert "'bogus' is unexpected" in reply_of(agent, {"execute": "guest-ping", "bogus": 1})["error"]["desc"]
    assert reply_of(agent, {"execute": "guest-sync"})["error"]["desc"] == "Parameter 'id' is missing"
    assert ask(agent, b'{"execute": "guest-shutdown"}') == b""
    assert [request["execute"] for request in agent.requests if "bogus" not in request][-2:] == [
        "guest-sync",
        "guest-shutdown",
    ]
    assert agent.received.startswith(b"\xff")


def test_added_handlers_are_used() -> None:
    def refuse(arguments: dict[str, Any]) -> Any:
        raise ErrorReply("not today")

    agent = ScriptedAgent()
    agent.handlers.update({"guest-file-open": lambda arguments: len(arguments["path"]), "guest-get-time": refuse})
    assert reply_of(agent, {"execute": "guest-file-open", "arguments": {"path": "/etc"}}) == {"return": 4}
    assert reply_of(agent, {"execute": "guest-get-time"}) == {"error": {"class": "GenericError", "desc": "not today"}}


def test_profiles_make_agents_old_frozen_or_blocked() -> None:
    ping = {"execute": "guest-ping", "id": 1}
    assert reply_of(ScriptedAgent("no_ids"), ping) == ErrorReply("QMP input member 'id' is unexpected").reply
    assert reply_of(ScriptedAgent("ignores_ids"), ping) == {"return": {}}
    missing = "The command guest-sync-delimited has not been found"
    assert json.loads(ask(ScriptedAgent("no_delimited"), SYNC[1:])) == ErrorReply(missing, "CommandNotFound").reply
    assert ask(ScriptedAgent("silence"), SYNC) == b""
    assert ask(ScriptedAgent("stale"), SYNC).endswith(SYNCED)

    agent = ScriptedAgent("frozen")
    frozen = "Command guest-exec has been disabled: the agent is in frozen state"
    assert reply_of(agent, {"execute": "guest-exec"}) == ErrorReply(frozen, "CommandNotFound").reply
    assert reply_of(agent, {"execute": "guest-fsfreeze-status"}) == {"return": "frozen"}
    assert reply_of(agent, {"execute": "guest-fsfreeze-thaw"}) == {"return": 1}
    assert reply_of(agent, {"execute": "guest-exec"}) == {"return": {"pid": 4711}}

    agent = ScriptedAgent("blocked")
    commands = reply_of(agent, {"execute": "guest-info"})["return"]["supported_commands"]
    assert [command["name"] for command in commands if not command["enabled"]] == ["guest-exec", "guest-exec-status"]


@pytest.mark.parametrize("name", sorted(DELIVERIES))
def test_delivery_breaks_replies_but_not_the_handshake(name: str) -> None:
    agent = ScriptedAgent(name)
    assert ask(agent, SYNC) == SYNCED
    unbroken = b'{"return": {}, "id": "x"}\n'
    received = ask(agent, b'{"execute": "guest-ping", "id": "x"}', 0.1)
    assert received != unbroken or name == "slow"


def test_profiles_combine() -> None:
    agent = ScriptedAgent("ignores_ids", "duplicate_replies", "slow")
    assert ask(agent, b'{"execute": "guest-ping", "id": "x"}') == b'{"return": {}}\n' * 2


def test_clients_are_served_one_after_the_other() -> None:
    with ScriptedAgent().listening() as path:
        for dummy in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(SYNC)
                assert client.recv(4096).startswith(STRAY_FF)
    assert not os.path.exists(os.path.dirname(path))


@pytest.mark.parametrize("profile", ["modern", "stale", "endless"])
def test_program_serves_until_a_signal(profile: str, tmp_path: Any) -> None:
    path = os.path.relpath(tmp_path / "s", "/")
    command = [sys.executable, scripted_agent.__file__, "/" + path, "--profile", profile]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == f"unix:/{path}\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("/" + path)
            program.send_signal(signal.SIGTERM)
            assert program.wait(5) == 0
    assert not (tmp_path / "s").exists()
