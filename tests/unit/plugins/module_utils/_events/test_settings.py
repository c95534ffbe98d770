# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of the event source, and what is wrong with others."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._events.settings import Guest, Settings, parse_settings
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def test_defaults() -> None:
    guest = Guest("web1", Address("libvirt", "web1", "qemu:///system"))
    assert parse_settings({"hosts": ["web1"]}) == Settings([guest], interval=10, timeout=5, frozen_for=60, attempts=2)


def test_guests_in_every_form() -> None:
    hosts = [
        "web1",
        {"name": "db", "domain": "db1", "endpoint": "libvirt:io.netless.agent.0"},
        {"domain": "old", "uri": "qemu:///session"},
        {"name": "build", "endpoint": "unix:/run/build.sock"},
    ]
    settings = parse_settings({"hosts": hosts, "endpoints": ["tcp:127.0.0.1:4444"], "uri": "qemu+ssh://hv/system"})
    assert settings.guests == [
        Guest("web1", Address("libvirt", "web1", "qemu+ssh://hv/system")),
        Guest("db", Address("libvirt:io.netless.agent.0", "db1", "qemu+ssh://hv/system")),
        Guest("old", Address("libvirt", "old", "qemu:///session")),
        Guest("build", Address("unix:/run/build.sock", "build", "qemu+ssh://hv/system")),
        Guest("tcp:127.0.0.1:4444", Address("tcp:127.0.0.1:4444")),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one agent"),
        ({"hosts": ["web1"], "uri": 7}, "uri: '7' is not a string"),
        ({"hosts": "web1"}, "hosts: a list is needed"),
        ({"hosts": [7]}, "a name, or a mapping"),
        ({"hosts": [{"host": "web1"}]}, "a name, or a mapping"),
        ({"hosts": [{"name": 7}]}, "strings"),
        ({"hosts": [{"uri": "qemu:///system"}]}, "each needs a name"),
        ({"hosts": ["web1", "web1"]}, "web1 is there more than once"),
        ({"hosts": [{"name": "web1", "endpoint": "nonsense"}]}, "'nonsense' is not an endpoint"),
        ({"endpoints": ["libvirt"]}, "name the domain in hosts"),
        ({"endpoints": ["nonsense"]}, "'nonsense' is not an endpoint"),
        ({"endpoints": [7]}, "each is a string"),
        ({"hosts": ["web1"], "interval": 0}, "interval: it has to be more than 0"),
        ({"hosts": ["web1"], "timeout": "5"}, "timeout: '5' is not a number"),
        ({"hosts": ["web1"], "timeout": float("nan")}, "timeout: 'nan' is not a number"),
        ({"hosts": ["web1"], "frozen_for": -1}, "frozen_for: '-1' is not a number"),
        ({"hosts": ["web1"], "attempts": 0}, "attempts: '0' is not a whole number"),
        ({"hosts": ["web1"], "attempts": True}, "attempts: 'True' is not a whole number"),
    ],
)
def test_invalid_arguments(arguments: dict[str, t.Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_settings(arguments)
