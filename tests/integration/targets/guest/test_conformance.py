# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire cases against the collection, and against a client that does everything wrong that the tool can notice."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from ansible_collections.netless.qga.tests.conformance import guest_relay
from ansible_collections.netless.qga.tests.conformance.cases import CASES, DECOY, Program
from ansible_collections.netless.qga.tests.conformance.client import Answer, Client
from ansible_collections.netless.qga.tests.conformance.judge import Verdict, judge
from ansible_collections.netless.qga.tests.conformance.runner import Runner, on_unix_socket

JOBS = 8
"""Most of the cases wait for a reply that does not come."""
CLIENT = (
    f"{sys.executable} -m ansible_collections.netless.qga.tests.conformance.{{name}} {{{{endpoint}}}} {{{{command}}}}"
)
CARELESS = {
    "healthy": (Verdict.RIGHT, Verdict.RIGHT),
    "stale reply": (Verdict.WRONG, Verdict.RIGHT),
    "exec reply lost": (Verdict.TWICE, Verdict.RIGHT),
    "late exec reply": (Verdict.TWICE, Verdict.CRASHED),
    "wrong types": (Verdict.CRASHED, Verdict.RIGHT),
    "endless line": (Verdict.HUNG, Verdict.RIGHT),
}
"""What the careless client makes of some cases."""


def runner(name: str, limit: float) -> Runner:
    """Return a runner for a client of the tool."""
    return Runner(Client(CLIENT.format(name=name), limit), on_unix_socket)


def test_collection_passes_every_case() -> None:
    with_collection = runner("netless_client", 90)
    judgements = {case.name: judgement for case, judgement in with_collection.run(CASES, JOBS)}
    assert {name: judgement for name, judgement in judgements.items() if not judgement.passed} == {}
    assert {judgement.verdict for judgement in judgements.values()} == {Verdict.RIGHT, Verdict.ERROR}
    assert with_collection.observations.as_result() == {
        "syncs with guest-sync-delimited": "always",
        "sends 0xFF before the sync": "always",
        "sync ids": "random",
        "syncs before anything else on a connection": "always",
        "syncs again after a lost reply": "always",
    }


def test_careless_client_is_noticed() -> None:
    careless = runner("careless_client", 8)
    cases = [case for case in CASES if case.name in CARELESS]
    judgements = dict(careless.run(cases, JOBS))
    found = {case.name: (judgement.verdict, judgement.next_verdict) for case, judgement in judgements.items()}
    assert found == CARELESS
    assert [case.name for case, judgement in judgements.items() if judgement.passed] == ["healthy"]
    observations = careless.observations.as_result()
    assert observations["syncs before anything else on a connection"] == "never"
    assert observations["syncs again after a lost reply"] == "never"


@pytest.mark.parametrize(
    ("rc", "output", "executions", "verdict"),
    [
        (0, "answer-7", 1, Verdict.RIGHT),
        (0, "answer-7", 2, Verdict.TWICE),
        (None, "answer-7", 1, Verdict.HUNG),
        (0, "", 1, Verdict.WRONG),
        (0, "answer-71", 1, Verdict.WRONG),
        (0, f"{DECOY} answer-7", 1, Verdict.WRONG),
        (0, "answer-7", 0, Verdict.WRONG),
        (1, "the agent does not answer", 0, Verdict.ERROR),
        (1, "", 0, Verdict.CRASHED),
        (1, "Traceback (most recent call last):", 0, Verdict.CRASHED),
    ],
)
def test_judge_looks_at_exit_status_output_and_executions(
    rc: int | None, output: str, executions: int, verdict: Verdict
) -> None:
    assert judge(Answer(rc, output, 0.1), Program.ANSWER, 1, executions) is verdict


def test_judge_takes_no_cut_output() -> None:
    cut = Answer(0, "x" * 4_999_999 + " answer-7", 0.1)
    assert judge(cut, Program.MUCH, 1, 1) is Verdict.WRONG


def test_judge_takes_no_success_of_a_killed_program() -> None:
    assert judge(Answer(0, "answer-7", 0.1), Program.KILLED, 1, 1) is Verdict.WRONG
    assert judge(Answer(1, "rc=137", 0.1), Program.KILLED, 1, 1) is Verdict.RIGHT


def receive(end: socket.socket, size: int) -> bytes:
    """Return as many bytes as asked for, or fewer if the connection ends."""
    received = b""
    while len(received) < size and (chunk := end.recv(size - len(received))):
        received += chunk
    return received


def test_relay_passes_bytes_both_ways_until_the_far_end_closes() -> None:
    near, client = socket.socketpair()
    far, agent = socket.socketpair()
    data = os.urandom(1 << 20)
    with near, client, far, agent:
        for port in (near, far):
            port.setblocking(False)
        for end in (client, agent):
            end.settimeout(30)
        relay = threading.Thread(target=guest_relay.relay, args=[near.fileno(), far.fileno(), b"first"], daemon=True)
        relay.start()
        assert receive(client, 5) == b"first"
        for sender, receiver in ((client, agent), (agent, client)):
            sending = threading.Thread(target=sender.sendall, args=[data], daemon=True)
            sending.start()
            assert receive(receiver, len(data)) == data
            sending.join(30)
        agent.sendall(b"last")
        agent.close()
        assert receive(client, 4) == b"last"
        relay.join(30)
        assert not relay.is_alive()
