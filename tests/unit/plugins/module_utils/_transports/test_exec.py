# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that relay to an agent, and programs that fail."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import sys
import tempfile
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.exec import ExecConnector, ExecTransport
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointUnavailable,
    OutcomeUnknown,
    UnreachableReason,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

RELAY = """
import os, select, socket, sys
agent = socket.socket(socket.AF_UNIX)
agent.connect(sys.argv[1])
while True:
    for ready in select.select([0, agent], [], [])[0]:
        if ready == 0:
            data = os.read(0, 65536)
            agent.sendall(data)
        else:
            data = agent.recv(65536)
            os.write(1, data)
        if not data:
            sys.exit()
"""


def relays(path: str) -> t.Iterator[str]:
    yield shlex.join([sys.executable, "-c", RELAY, path])
    if shutil.which("socat"):
        yield shlex.join(["socat", "-", f"UNIX-CONNECT:{path}"])
        yield shlex.join(["sh", "-c", f"echo noise; exec socat - UNIX-CONNECT:{path}"])


def connect(command: str) -> ExecTransport:
    return ExecConnector(command).connect(Deadline.after(30))


def test_agent_answers_through_a_program() -> None:
    agent = ScriptedAgent("stale")
    agent.handlers["guest-echo"] = lambda arguments: arguments
    with agent.listening() as path:
        for command in relays(path):
            channel = StreamChannel(ExecConnector(command))
            value = {"text": "x" * 1_000_000}
            (outcome,) = channel.exchange([Call("guest-echo", value)], Deadline.after(30))
            assert isinstance(outcome, Answer) and outcome.value == value
            channel.close()


def test_quoted_text_is_one_argument(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "the relay"
    script.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    transport = connect(f"'{script}' 'a b' \"c'd\" $HOME ~ *;")
    received = b""
    while True:
        data = transport.receive(Deadline.after(30))
        if not data:
            break
        received += data
    transport.close()
    # No shell is involved.
    assert received == b"a b|c'd|$HOME|~|*;|"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/nonexistent/relay x", "cannot start the program '/nonexistent/relay': there is no such program"),
        ("nosuchprog x", "cannot start the program 'nosuchprog': there is no such program"),
        ("/ x", "cannot start the program '/': it is not an executable file for this user. Correct the path"),
        ("'unbalanced", "cannot split the command into words: No closing quotation"),
        (" ", "the command is empty. Write a program and its arguments"),
    ],
)
def test_program_that_cannot_be_started(command: str, reason: str) -> None:
    with pytest.raises(EndpointUnavailable) as caught:
        connect(command)
    assert str(caught.value).startswith(f"exec:{command}: {reason}") and "Errno" not in str(caught.value)
    assert caught.value.reason is UnreachableReason.UNKNOWN


@pytest.mark.parametrize(
    ("mode", "reason"), [(0o644, "it is not an executable file for this user"), (0o755, "it is neither a binary")]
)
def test_file_that_is_not_a_program(tmp_path: pathlib.Path, mode: int, reason: str) -> None:
    (tmp_path / "relay").write_text("no program", encoding="ascii")
    (tmp_path / "relay").chmod(mode)
    with pytest.raises(EndpointUnavailable, match=f"cannot start the program '{tmp_path}/relay': {reason}"):
        connect(f"{tmp_path}/relay")


def test_no_place_for_the_error_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(EndpointUnavailable, match=r"^exec:cat: no place for the program's error output: No such file"):
        connect("cat")


@pytest.mark.parametrize("script", ["echo no route to host >&2; exit 3", "read x; echo no route to host >&2; exit 3"])
def test_error_shows_exit_status_and_error_output(script: str) -> None:
    channel = StreamChannel(ExecConnector(shlex.join(["sh", "-c", script])))
    with pytest.raises(ChannelClosed, match=r"ended with status 3\. It reported: no route to host$") as caught:
        channel.sync(Deadline.after(30))
    # A program that ends does not show what became of the agent that it leads to.
    assert caught.value.reason is UnreachableReason.UNKNOWN


def test_error_when_no_agent_answers_through_the_program() -> None:
    channel = StreamChannel(ExecConnector("sh -c 'echo connecting >&2; exec sleep 60'"))
    with pytest.raises(AgentSilent, match=r"no guest agent answers through it\..* It reported: connecting$"):
        channel.sync(Deadline.after(0.6))


def test_program_that_echoes_is_not_an_agent() -> None:
    # A terminal in its usual mode echoes, too.
    with pytest.raises(AgentSilent):
        StreamChannel(ExecConnector("cat")).sync(Deadline.after(0.6))


def test_program_that_ends_during_a_call() -> None:
    agent = ScriptedAgent("cut")
    with agent.listening() as path:
        channel = StreamChannel(ExecConnector(next(relays(path))))
        with pytest.raises(OutcomeUnknown, match="the program ended with status 0"):
            channel.exchange([Call("guest-exec")], Deadline.after(30))
    assert [request["execute"] for request in agent.requests].count("guest-exec") == 1


def test_program_that_closes_its_output_and_goes_on() -> None:
    transport = connect("sh -c 'exec >&-; exec sleep 60'")
    assert transport.receive(Deadline.after(30)) == b""
    assert "the program closed its output" in str(transport.closed_error())
    transport.close()


def test_error_shows_only_the_end_of_long_error_output() -> None:
    transport = connect(
        "sh -c 'i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done; printf \"\\377\" >&2'"
    )
    assert transport.receive(Deadline.after(30)) == b""
    message = str(transport.closed_error())
    assert message.endswith("line 998\nline 999\n\ufffd") and len(message) < 1000
    transport.close()


@pytest.mark.parametrize("script", ["echo; exec sleep 60", "trap : TERM; echo; while :; do sleep 0.1; done", "echo"])
def test_close_leaves_no_program_behind(script: str) -> None:
    transport = connect(shlex.join(["sh", "-c", script]))
    assert transport.receive(Deadline.after(30)) == b"\n"
    pid = transport._process.pid  # pylint: disable=protected-access
    transport.close()
    transport.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
