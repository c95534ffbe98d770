# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments and replies against QEMU's schema: what passes, and what an error says and keeps to itself."""

from __future__ import annotations

import sys
import time
import types
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ansible_collections.netless.qga.plugins.module_utils._schema import validation
from ansible_collections.netless.qga.plugins.module_utils._schema.commands import (
    COMMANDS,
    QEMU_VERSION,
    REPLY_TYPES,
    REQUEST_TYPES,
)
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import (
    check_arguments,
    check_reply,
    is_silent,
    require_jsonschema,
    since,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    InvalidRequest,
    LibraryMissing,
    ProtocolViolation,
)

SECRET = "correct horse"
NO_COMMAND = f"not a command of QEMU {QEMU_VERSION}'s agent"
COMMAND_HINT = "Newer commands, and those of a vendor, can be sent with validate: false"
CAPTURE_MODES = "'none', 'stdout', 'stderr', 'separated', 'merged'"

ACCEPTED_ARGUMENTS: list[tuple[str, dict[str, t.Any]]] = [
    ("guest-ping", {}),
    ("guest-sync", {"id": -(2**63)}),
    ("guest-sync-delimited", {"id": 2**63 - 1}),
    ("guest-shutdown", {}),
    ("guest-shutdown", {"mode": "reboot"}),
    ("guest-exec", {"path": "/bin/true"}),
    ("guest-exec", {"path": "/bin/sh", "arg": ["-c", ""], "env": [], "input-data": "", "capture-output": True}),
    ("guest-exec", {"path": "/bin/sh", "arg": ("-c", ""), "capture-output": "merged"}),
    ("guest-file-seek", {"handle": 1, "offset": -1, "whence": "end"}),
    ("guest-file-seek", {"handle": 1, "offset": 0, "whence": 0}),
    ("guest-set-vcpus", {"vcpus": [{"logical-id": 1, "online": False}, {"logical-id": 2, "online": True}]}),
    ("guest-set-memory-blocks", {"mem-blks": [{"phys-index": 2**64 - 1, "online": True, "can-offline": True}]}),
    ("guest-set-user-password", {"username": "root", "password": "", "crypted": False}),
    ("guest-ssh-add-authorized-keys", {"username": "root", "keys": [], "reset": True}),
]

REFUSED_ARGUMENTS: list[tuple[str, dict[t.Any, t.Any], str]] = [
    # members
    ("guest-exec", {}, "path: missing, expected a string"),
    ("guest-set-user-password", {"username": SECRET, "password": SECRET}, "crypted: missing, expected a boolean"),
    ("guest-set-vcpus", {"vcpus": [{"logical-id": 1}]}, "vcpus[0].online: missing, expected a boolean"),
    (
        "guest-file-seek",
        {"handle": 1, "offset": 2},
        "whence: missing, expected an integer or one of 'set', 'cur', 'end'",
    ),
    ("guest-ping", {"id": SECRET}, "'id' not expected here; allowed: nothing"),
    ("guest-ping", {"a": SECRET, "\n": SECRET}, "'a', '\\n' not expected here; allowed: nothing"),
    ("guest-ping", {1: SECRET, "a": SECRET}, "expected an object, got something that JSON does not have"),
    ("guest-ping", {"a" * 41: SECRET}, f"'{'a' * 39}…' not expected here; allowed: nothing"),
    (
        "guest-ping",
        {str(number): SECRET for number in range(100)},
        f"{', '.join(repr(str(number)) for number in range(12))}, and more not expected here; allowed: nothing",
    ),
    # The misspelt one is more to the point than the missing one.
    ("guest-file-close", {"handel": SECRET}, "'handel' not expected here; allowed: 'handle'"),
    (
        "guest-set-vcpus",
        {"vcpus": [{"logical-id": 1, "online": True}, {"logical-id": 1, "on-line": SECRET}]},
        "vcpus[1]: 'on-line' not expected here; allowed: 'logical-id', 'online', 'can-offline'",
    ),
    # types
    ("guest-exec", {"path": None}, "path: expected a string, got null"),
    ("guest-exec", {"path": b"correct horse"}, "path: expected a string, got something that JSON does not have"),
    ("guest-exec", {"path": SECRET, "arg": SECRET}, "arg: expected a list, got a string"),
    ("guest-exec", {"path": SECRET, "arg": [SECRET, [SECRET]]}, "arg[1]: expected a string, got a list"),
    ("guest-exec", {"path": SECRET, "input-data": {SECRET: SECRET}}, "input-data: expected a string, got an object"),
    ("guest-set-user-password", {"password": 12345678}, "password: expected a string, got an integer"),
    ("guest-ssh-add-authorized-keys", {"reset": 1}, "reset: expected a boolean, got an integer"),
    ("guest-set-vcpus", {"vcpus": [SECRET]}, "vcpus[0]: expected an object, got a string"),
    ("guest-sync", {"id": True}, "id: expected an integer, got a boolean"),
    ("guest-sync", {"id": 1.0}, "id: expected an integer, got a floating-point number"),
    ("guest-sync", {"id": SECRET}, "id: expected an integer, got a string"),
    # ranges
    ("guest-sync", {"id": 2**63}, "id: expected an integer of at most 9223372036854775807"),
    ("guest-sync", {"id": -(2**63) - 1}, "id: expected an integer of at least -9223372036854775808"),
    (
        "guest-set-memory-blocks",
        {"mem-blks": [{"phys-index": 2**64}]},
        "mem-blks[0].phys-index: expected an integer of at most 18446744073709551615",
    ),
    (
        "guest-set-memory-blocks",
        {"mem-blks": [{"phys-index": -1}]},
        "mem-blks[0].phys-index: expected an integer of at least 0",
    ),
    # alternatives
    ("guest-file-seek", {"whence": SECRET}, "whence: expected one of 'set', 'cur', 'end', got another one"),
    ("guest-file-seek", {"whence": 2**63}, "whence: expected an integer of at most 9223372036854775807"),
    (
        "guest-file-seek",
        {"whence": True},
        "whence: expected an integer or one of 'set', 'cur', 'end', got a boolean",
    ),
    ("guest-exec", {"capture-output": SECRET}, f"capture-output: expected one of {CAPTURE_MODES}, got another one"),
    (
        "guest-exec",
        {"capture-output": 1},
        f"capture-output: expected a boolean or one of {CAPTURE_MODES}, got an integer",
    ),
]

UNKNOWN_COMMANDS: list[tuple[str, str]] = [
    ("guest-exce", f"'guest-exce': {NO_COMMAND}; did you mean guest-exec? "),
    ("guest_get_time", f"'guest_get_time': {NO_COMMAND}; did you mean guest-get-time or guest-set-time? "),
    ("", f"'': {NO_COMMAND}. "),
    ("\n" * 10**6, "'" + r"\n" * 39 + f"…': {NO_COMMAND}. "),
]

# As Debian 12's, 13's and testing's agents answer, but for what would tell the machine.
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


@pytest.mark.parametrize("command", COMMANDS)
def test_has_valid_schemas_only(command: str) -> None:
    for part, known in ((COMMANDS[command]["arguments"], REQUEST_TYPES), (COMMANDS[command]["returns"], REPLY_TYPES)):
        Draft202012Validator.check_schema({**part, "$defs": known})
        for reference in references([part, *known.values()]):
            assert reference.rpartition("/")[2] in known


def references(schema: t.Any) -> t.Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)


def test_knows_the_commands() -> None:
    assert len(COMMANDS) >= 44
    assert since("guest-sync") == "0.15.0"
    assert since("guest-exec") == "2.5"
    assert since("guest-network-get-route") == "9.1"
    assert since("guest-get-everything") is None
    assert {command for command in COMMANDS if is_silent(command)} == {
        "guest-shutdown",
        "guest-suspend-disk",
        "guest-suspend-hybrid",
        "guest-suspend-ram",
    }
    assert not is_silent("guest-get-everything")


@pytest.mark.parametrize(("command", "arguments"), ACCEPTED_ARGUMENTS)
def test_accepts_arguments(command: str, arguments: dict[str, t.Any]) -> None:
    check_arguments(command, arguments)
    check_arguments(command, types.MappingProxyType(arguments))


@pytest.mark.parametrize(("command", "arguments", "reason"), REFUSED_ARGUMENTS)
def test_refuses_arguments(command: str, arguments: dict[t.Any, t.Any], reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_arguments(command, arguments)
    assert str(caught.value) == f"{command}: {reason}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("command", "reason"), UNKNOWN_COMMANDS, ids=range(len(UNKNOWN_COMMANDS)))
def test_refuses_unknown_commands(command: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_arguments(command, {"password": SECRET})
    assert str(caught.value) == reason + COMMAND_HINT


@pytest.mark.parametrize(("command", "reply"), GOOD_REPLIES)
def test_accepts_replies(command: str, reply: t.Any) -> None:
    check_reply(command, reply)


@pytest.mark.parametrize(("command", "reply", "reason"), BAD_REPLIES)
def test_refuses_replies(command: str, reply: t.Any, reason: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        check_reply(command, reply)
    assert str(caught.value) == f"{command}: {reason}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("command", "reply", "reason"), HOSTILE_REPLIES, ids=range(len(HOSTILE_REPLIES)))
def test_ends_at_the_first_mistake(command: str, reply: t.Any, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(ProtocolViolation) as caught:
        check_reply(command, reply)
    assert str(caught.value) == f"{command}: {reason}"
    # Most is jsonschema's own message, which quotes all of it.
    assert time.process_time() - started < 5


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["pid", "path", "arg", "whence", "mode", "type", "name", "vcpus"]), inner)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.sampled_from(["path", "arg", "whence", "vcpus"]), VALUES))
def test_keeps_arguments_to_itself(command: str, arguments: dict[str, t.Any]) -> None:
    try:
        check_arguments(command, arguments)
    except InvalidRequest as error:
        assert SECRET not in str(error)


@given(st.sampled_from(sorted(COMMANDS)), VALUES)
def test_keeps_replies_to_itself(command: str, reply: t.Any) -> None:
    try:
        check_reply(command, reply)
    except ProtocolViolation as error:
        assert SECRET not in str(error)
        assert len(str(error)) < 200


@pytest.fixture
def no_validators() -> t.Iterator[None]:
    def forget() -> None:
        for function in vars(validation).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.usefixtures("no_validators")
@pytest.mark.parametrize("found", [None, types.ModuleType("jsonschema")], ids=["none", "old"])
def test_needs_jsonschema(found: types.ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", found)
    for check in (check_arguments, check_reply):
        with pytest.raises(LibraryMissing, match=r"jsonschema .*4\.0 or newer"):
            check("guest-ping", {})
    with pytest.raises(LibraryMissing, match="python3 -m pip install jsonschema"):
        require_jsonschema()
    with pytest.raises(InvalidRequest):
        check_arguments("guest-pong", {})
