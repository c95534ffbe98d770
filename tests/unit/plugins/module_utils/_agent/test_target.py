# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an agent is and how long to wait for it."""

from __future__ import annotations

import json
import typing as t
from dataclasses import fields, replace

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address

NOTHING: dict[str, t.Any] = {"domain": None, "uri": None, "endpoint": None, "timeout": None}
UNIX = Address("unix:/run/vms/web1.sock", "web1", "qemu:///system")
DOMAIN = Address("libvirt:io.netless.agent.0", "web1", "qemu:///system")


@pytest.mark.parametrize("target", [Target(Address()), Target(UNIX, 5.0, 50.0, 7.5, 4096)])
def test_target_survives_json(target: Target) -> None:
    copy = Target.from_dict(json.loads(json.dumps(target.as_dict())))
    assert replace(copy, log=target.log) == target


def test_as_dict_leaves_out_what_belongs_to_the_task() -> None:
    assert {field.name for field in fields(Target)} - set(Target(UNIX).as_dict()) == {"log", "persist", "owner"}


@pytest.mark.parametrize(
    ("connection", "options", "expected"),
    [
        (Address(), {}, Address("libvirt", "", "qemu:///system")),
        (UNIX, {}, UNIX),
        (UNIX, {"endpoint": "tcp:[::1]:4444"}, Address("tcp:[::1]:4444", "web1", "qemu:///system")),
        (UNIX, {"domain": "web2"}, Address("libvirt", "web2", "qemu:///system")),
        (UNIX, {"domain": "web2", "endpoint": "unix:/x"}, Address("unix:/x", "web2", "qemu:///system")),
        (DOMAIN, {"domain": "web2"}, Address("libvirt:io.netless.agent.0", "web2", "qemu:///system")),
        (DOMAIN, {"uri": "qemu+ssh://hv/system"}, Address(DOMAIN.endpoint, "web1", "qemu+ssh://hv/system")),
    ],
)
def test_options_override_the_connection(connection: Address, options: dict[str, str], expected: Address) -> None:
    assert Target(connection).with_options({**NOTHING, **options}).address == expected


def test_deadline_is_the_longest_usual_time() -> None:
    assert 29 < Target(UNIX).deadline().remaining() <= 30
    assert 599 < Target(UNIX).deadline(600).remaining() <= 600
    assert 599 < Target(UNIX, reply_timeout=600).deadline(60).remaining() <= 600


def test_timeout_option_limits_every_deadline() -> None:
    target = Target(UNIX).with_options({**NOTHING, "timeout": 5.0})
    assert target.connect_timeout == 5.0
    assert 4 < target.deadline(600).remaining() <= 5


def test_overall_deadline_adds_the_timeouts_of_all_answers() -> None:
    target = Target(UNIX).with_options({**NOTHING, "timeout": 5.0})
    assert 29 < target.overall_deadline().remaining() <= 30
    # One of these timeouts is for reaching the agent.
    assert 54 < target.overall_deadline(10).remaining() <= 55
    assert 909 < Target(UNIX, connect_timeout=10, reply_timeout=300).overall_deadline(3).remaining() <= 910


def test_chunk_of_the_connection_is_used() -> None:
    assert Target(UNIX, chunk=4096).with_options(NOTHING).agent().chunk == 4096


@pytest.mark.parametrize(
    ("address", "persist", "expected"),
    [
        (UNIX, 0.0, None),
        (UNIX, 7.0, 7.0),
        (UNIX, None, 5.0),
        (DOMAIN, None, 5.0),
        (Address("libvirt", "web1"), None, 60.0),
        (Address("libvirt", "web1"), 0, None),
    ],
)
def test_process_keeps_the_channel_as_long_as_suits_the_endpoint(
    address: Address, persist: float | None, expected: float | None
) -> None:
    channel: t.Any = Target(address, persist=persist).agent()._channel  # pylint: disable=protected-access
    settings = getattr(channel, "_settings", {"persist": None})
    assert settings["persist"] == expected


def test_target_of_a_module_on_another_host_starts_no_process() -> None:
    assert Target(UNIX).persist == 0


@pytest.mark.parametrize(
    "address",
    [
        Address("unix:run/s"),
        Address("exec:ssh hv1 socat - UNIX:/run/s"),
        Address("serial:/dev/ttyS0"),
        Address("tcp:[10.0.0.1]:4444"),
        Address("tcp:[::1]:04444"),
        Address("vsock:3:01234"),
        DOMAIN,
        Address("libvirt", "web1", "test:///default"),
    ],
)
def test_endpoint_has_one_name_with_and_without_a_process(address: Address) -> None:
    assert Target(address, persist=5).agent().endpoint == Target(address).agent().endpoint
