# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replies against QEMU's schema: which ones pass, and what an error message contains and keeps to itself."""

from __future__ import annotations

import time
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._schema.json_values import SECRET, VALUES

# As the agents of Debian 12, 13 and testing answer, without what would identify the machine.
GOOD_REPLIES: list[tuple[str, t.Any]] = [
    ("guest-ping", {}),
    ("guest-sync", 123456),
    ("guest-get-time", 1763837760123456000),
    ("guest-fsfreeze-status", "thawed"),
    (
        "guest-info",
        {
            "version": "7.2.22",
            "supported_commands": [
                {"enabled": True, "name": "guest-ping", "success-response": True},
                {"enabled": False, "name": "guest-get-devices", "success-response": True},
                {"enabled": True, "name": "guest-shutdown", "success-response": False},
            ],
        },
    ),
    ("guest-exec", {"pid": 4711}),
    ("guest-exec-status", {"exited": False}),
    ("guest-exec-status", {"exitcode": 0, "out-data": "aGVsbG8K", "exited": True}),
    ("guest-exec-status", {"signal": 9, "exited": True, "err-data": "", "err-truncated": True}),
    ("guest-file-read", {"count": 0, "buf-b64": "", "eof": True}),
    ("guest-get-host-name", {"host-name": "guest"}),
    ("guest-get-timezone", {"zone": "CET", "offset": 3600}),
    ("guest-get-users", [{"login-time": 1763837760.123456, "user": "root"}, {"login-time": 0, "user": ""}]),
    ("guest-get-users", []),
    ("guest-get-load", {"load1m": 0.5, "load5m": 0, "load15m": 1e-05}),
    (
        "guest-network-get-interfaces",
        [
            {
                "name": "lo",
                "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}],
                "statistics": {
                    f"{target}-{what}": 2**64 - 1
                    for target in ("rx", "tx")
                    for what in ("bytes", "packets", "errs", "dropped")
                },
                "hardware-address": "00:00:00:00:00:00",
            },
            {"name": "tunl0"},
        ],
    ),
    (
        "guest-get-fsinfo",
        [
            {
                "name": "vda1",
                "total-bytes": 21003583488,
                "mountpoint": "/",
                "disk": [
                    {
                        "bus-type": "virtio",
                        "bus": 0,
                        "unit": 0,
                        "pci-controller": {"bus": -1, "slot": -1, "domain": -1, "function": -1},
                        "dev": "/dev/vda1",
                        "target": 0,
                    }
                ],
                "used-bytes": 2100358348,
                "type": "ext4",
            },
        ],
    ),
    ("guest-get-disks", [{"name": "/dev/sr0", "partition": False, "smart": {"type": "scsi"}}]),
    ("guest-get-cpustats", [{"type": "linux", "cpu": 0, "user": 1, "nice": 2, "system": 3, "idle": 2**64 - 1}]),
    ("guest-get-diskstats", [{"name": "vda", "major": 254, "minor": 0, "stats": {}}]),
    (
        "guest-network-get-route",
        [{"iface": "eth0", "destination": "0.0.0.0", "metric": 100, "gateway": "192.0.2.1", "flags": 3, "version": 4}],
    ),
    ("guest-set-memory-blocks", [{"phys-index": 1, "response": "operation-failed", "error-code": 16}]),
    # from agents that are newer than this schema
    ("guest-ping", {"pong": True}),
    ("guest-fsfreeze-status", "thawing"),
    ("guest-get-disks", [{"name": "a", "partition": False, "smart": {"type": "ufs", "wear": 1}, "size": 1}]),
    ("guest-get-cpustats", [{"type": "windows", "load": 1.5}]),
    ("guest-get-everything", object()),
]

BAD_REPLIES: list[tuple[str, t.Any, str]] = [
    ("guest-ping", None, "expected an object, got null"),
    ("guest-ping", [], "expected an object, got a list"),
    ("guest-sync", SECRET, "expected an integer, got a string"),
    ("guest-sync", 1.0, "expected an integer, got a floating-point number"),
    ("guest-fsfreeze-status", {SECRET: SECRET}, "expected a string, got an object"),
    ("guest-exec", {}, "pid: missing, expected an integer"),
    ("guest-exec", {"pid": True}, "pid: expected an integer, got a boolean"),
    ("guest-exec", {"pid": 2**63}, "pid: expected an integer of at most 9223372036854775807"),
    ("guest-exec-status", {"exited": True, "out-data": None}, "out-data: expected a string, got null"),
    ("guest-get-load", {"load1m": SECRET}, "load1m: expected a number, got a string"),
    ("guest-info", {"version": "1", "supported_commands": {}}, "supported_commands: expected a list, got an object"),
    (
        "guest-info",
        {"version": "1", "supported_commands": [{}]},
        "supported_commands[0].name: missing, expected a string",
    ),
    ("guest-get-disks", [{"name": "a", "partition": 1}], "[0].partition: expected a boolean, got an integer"),
    (
        "guest-get-disks",
        [{"name": SECRET, "partition": True}, {"name": SECRET, "partition": True, "dependencies": [SECRET, None]}],
        "[1].dependencies[1]: expected a string, got null",
    ),
    (
        "guest-get-disks",
        [{"name": "a", "partition": True, "smart": {"type": "nvme", "critical-warning": SECRET}}],
        "[0].smart.critical-warning: expected an integer, got a string",
    ),
    (
        "guest-get-disks",
        [{"name": "a", "partition": True, "smart": {SECRET: SECRET}}],
        "[0].smart.type: missing, expected a string",
    ),
    ("guest-get-cpustats", [{"type": "linux"}], "[0].cpu: missing, expected an integer"),
    (
        "guest-get-fsinfo",
        [{"name": "a", "mountpoint": "b", "type": "c", "disk": [{"pci-controller": {}}]}],
        "[0].disk[0].pci-controller.domain: missing, expected an integer",
    ),
    (
        "guest-get-fsinfo",
        [{"name": "a", "mountpoint": "b", "type": "c", "disk": [{"pci-controller": SECRET}]}],
        "[0].disk[0].pci-controller: expected an object, got a string",
    ),
]


def nested(depth: int) -> t.Any:
    value: t.Any = []
    for dummy in range(depth):
        value = [value]
    return value


HOSTILE_REPLIES: list[tuple[str, t.Any, str]] = [
    ("guest-get-disks", nested(90), "[0]: expected an object, got a list"),
    ("guest-exec", nested(90), "expected an object, got a list"),
    ("guest-exec", [SECRET] * 2_000_000, "expected an object, got a list"),
    ("guest-exec", {f"{SECRET}{number}": {} for number in range(300_000)}, "pid: missing, expected an integer"),
    ("guest-get-vcpus", [{}] * 500_000, "[0].logical-id: missing, expected an integer"),
    (
        "guest-get-vcpus",
        [{"logical-id": 1, "online": SECRET * 100_000}],
        "[0].online: expected a boolean, got a string",
    ),
    ("guest-sync", int("9" * 300), "expected an integer of at most 9223372036854775807"),
]


@pytest.mark.parametrize(("command", "reply"), GOOD_REPLIES)
def test_valid_replies_are_accepted(command: str, reply: t.Any) -> None:
    check_reply(command, reply)


@pytest.mark.parametrize(("command", "reply", "reason"), BAD_REPLIES)
def test_invalid_replies_are_refused(command: str, reply: t.Any, reason: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        check_reply(command, reply)
    assert str(caught.value) == f"{command}: {reason}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("command", "reply", "reason"), HOSTILE_REPLIES, ids=range(len(HOSTILE_REPLIES)))
def test_check_ends_at_the_first_error(command: str, reply: t.Any, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(ProtocolViolation) as caught:
        check_reply(command, reply)
    assert str(caught.value) == f"{command}: {reason}"
    # Most of the time goes into jsonschema's own message, which quotes the whole value.
    assert time.process_time() - started < 5


@given(st.sampled_from(sorted(COMMANDS)), VALUES)
def test_errors_do_not_contain_replies(command: str, reply: t.Any) -> None:
    try:
        check_reply(command, reply)
    except ProtocolViolation as error:
        assert SECRET not in str(error)
        assert len(str(error)) < 200
