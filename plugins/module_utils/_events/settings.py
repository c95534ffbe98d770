# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of the event source: which agents it watches, and how."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

_NUMBERS = {"interval": 10.0, "timeout": 5.0, "frozen_for": 60.0}
_DEFAULT_ATTEMPTS = 2
_HOST_KEYS = ("domain", "endpoint", "name", "uri")


@dataclass(frozen=True)
class Guest:
    """A guest that is watched.

    :param name: its name in events.
    :param address: where its agent is.
    """

    name: str
    address: Address


@dataclass(frozen=True)
class Settings:
    """What to watch, and how.

    :param guests: the guests.
    :param interval: seconds from one observation of a guest to the next.
    :param timeout: seconds that one observation may take.
    :param frozen_for: see :class:`GuestState`.
    :param attempts: see :class:`GuestState`.
    """

    guests: list[Guest]
    interval: float
    timeout: float
    frozen_for: float
    attempts: int


def parse_settings(arguments: t.Mapping[str, t.Any]) -> Settings:
    """Return the settings that a rulebook gives.

    :raises InvalidRequest: they are not valid. The message names the argument.
    """
    uri = arguments.get("uri", Address.uri)
    if not isinstance(uri, str):
        raise InvalidRequest(f"uri: '{uri}' is not a string")
    guests = [_host(host, uri) for host in _list(arguments, "hosts")]
    guests += [_endpoint(endpoint) for endpoint in _list(arguments, "endpoints")]
    if not guests:
        raise InvalidRequest("hosts, endpoints: name at least one agent to watch")
    names = [guest.name for guest in guests]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidRequest(f"hosts, endpoints: {', '.join(repeated)} is there more than once")
    attempts = arguments.get("attempts", _DEFAULT_ATTEMPTS)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidRequest(f"attempts: '{attempts}' is not a whole number from 1 on")
    numbers = {name: _number(arguments, name, default) for name, default in _NUMBERS.items()}
    return Settings(guests, attempts=attempts, **numbers)


def _list(arguments: t.Mapping[str, t.Any], name: str) -> list[t.Any]:
    value = arguments.get(name) or []
    if not isinstance(value, list):
        raise InvalidRequest(f"{name}: a list is needed")
    return value


def _number(arguments: t.Mapping[str, t.Any], name: str, default: float) -> float:
    value = arguments.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InvalidRequest(f"{name}: '{value}' is not a number of seconds")
    if value == 0 and name != "frozen_for":
        raise InvalidRequest(f"{name}: it has to be more than 0 seconds")
    return float(value)


def _host(host: t.Any, uri: str) -> Guest:
    if isinstance(host, str):
        host = {"name": host}
    if not isinstance(host, dict) or not set(host) <= set(_HOST_KEYS):
        raise InvalidRequest(f"hosts: each is a name, or a mapping with some of {', '.join(_HOST_KEYS)}")
    if not all(isinstance(value, str) for value in host.values()):
        raise InvalidRequest("hosts: the values of a mapping are strings")
    values: dict[str, str] = host
    name = values.get("name") or values.get("domain") or values.get("endpoint")
    if not name:
        raise InvalidRequest("hosts: each needs a name, a domain or an endpoint")
    endpoint = values.get("endpoint", Address.endpoint)
    return _checked(Guest(name, Address(endpoint, values.get("domain", name), values.get("uri", uri))))


def _endpoint(endpoint: t.Any) -> Guest:
    if not isinstance(endpoint, str):
        raise InvalidRequest("endpoints: each is a string")
    if endpoint.partition(":")[0] == "libvirt":
        raise InvalidRequest(f"endpoints: {endpoint} belongs to a libvirt domain; name the domain in hosts")
    return _checked(Guest(endpoint, Address(endpoint)))


def _checked(guest: Guest) -> Guest:
    """Return the guest if its address is valid.

    :raises InvalidRequest: it is not.
    """
    make_channel(guest.address, connect_timeout=1, reply_timeout=1)
    return guest
