# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments against QEMU's schema: which ones pass, and what an error message contains and keeps to itself."""

from __future__ import annotations

import types
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS, QEMU_VERSION
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_arguments
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._schema.json_values import SECRET, VALUES

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
    # The misspelt member is reported, not the missing one.
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
    ("guest-file-seek", {"whence": SECRET}, "whence: expected one of 'set', 'cur', 'end', got another value"),
    ("guest-file-seek", {"whence": 2**63}, "whence: expected an integer of at most 9223372036854775807"),
    (
        "guest-file-seek",
        {"whence": True},
        "whence: expected an integer or one of 'set', 'cur', 'end', got a boolean",
    ),
    ("guest-exec", {"capture-output": SECRET}, f"capture-output: expected one of {CAPTURE_MODES}, got another value"),
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


@pytest.mark.parametrize(("command", "arguments"), ACCEPTED_ARGUMENTS)
def test_valid_arguments_are_accepted(command: str, arguments: dict[str, t.Any]) -> None:
    check_arguments(command, arguments)
    check_arguments(command, types.MappingProxyType(arguments))


@pytest.mark.parametrize(("command", "arguments", "reason"), REFUSED_ARGUMENTS)
def test_invalid_arguments_are_refused(command: str, arguments: dict[t.Any, t.Any], reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_arguments(command, arguments)
    assert str(caught.value) == f"{command}: {reason}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("command", "reason"), UNKNOWN_COMMANDS, ids=range(len(UNKNOWN_COMMANDS)))
def test_unknown_commands_are_refused(command: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_arguments(command, {"password": SECRET})
    assert str(caught.value) == reason + COMMAND_HINT


@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.sampled_from(["path", "arg", "whence", "vcpus"]), VALUES))
def test_errors_do_not_contain_arguments(command: str, arguments: dict[str, t.Any]) -> None:
    try:
        check_arguments(command, arguments)
    except InvalidRequest as error:
        assert SECRET not in str(error)
