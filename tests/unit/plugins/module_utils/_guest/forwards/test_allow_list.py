# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The destinations that the proxy leads to: what is on the list, and the addresses of names."""

from __future__ import annotations

import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.allow_list import AllowList, NotAllowed
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

PUBLIC = "93.184.215.14"


@pytest.fixture(name="names")
def fixture_names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Provide the addresses of names, which are those of a public host unless the test changes them."""
    names: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, **options: t.Any) -> list[t.Any]:
        addresses = names.get(host, [PUBLIC])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("mirror.example.com:80", "mirror.example.com", 80),
        ("Mirror.Example.COM:80", "mirror.example.com", 80),
        ("mirror.example.com:80", "MIRROR.example.com.", 80),
        ("*.example.org:443", "a.example.org", 443),
        ("*.example.org:443", "a.b.example.org", 443),
    ],
)
@pytest.mark.usefixtures("names")
def test_names_on_the_list(entry: str, host: str, port: int) -> None:
    assert AllowList(["other.example.com:1", entry]).resolve(host, port) == [PUBLIC]


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("192.0.2.7:80", "192.0.2.7", 80),
        ("10.0.0.0/8:80", "10.1.2.3", 80),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("[2001:db8::/32]:443", "2001:db8:0:0::1", 443),
    ],
)
def test_addresses_on_the_list(entry: str, host: str, port: int) -> None:
    assert AllowList([entry]).resolve(host, port) == [host]


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("mirror.example.com:80", "mirror.example.com", 443),
        ("mirror.example.com:80", "example.com", 80),
        ("mirror.example.com:80", "amirror.example.com", 80),
        ("mirror.example.com:80", "mirror.example.com.evil.test", 80),
        ("*.example.org:443", "example.org", 443),
        ("*.example.org:443", "badexample.org", 443),
        ("mirror.example.com:80", PUBLIC, 80),
        ("192.0.2.7:80", "192.0.2.8", 80),
        ("192.0.2.7:80", "192.0.2.7", 81),
        ("127.0.0.1:80", "127.1", 80),
        ("127.0.0.1:80", "::ffff:127.0.0.1", 80),
    ],
)
@pytest.mark.usefixtures("names")
def test_destinations_that_are_not_on_the_list(entry: str, host: str, port: int) -> None:
    with pytest.raises(NotAllowed, match="is not in the connection's option proxy_allow"):
        AllowList([entry]).resolve(host, port)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.1.2.3",
        "64:ff9b::a01:203",
        "2002:a01:203::1",
    ],
)
def test_name_with_a_private_address_needs_the_address_on_the_list(names: dict[str, list[str]], address: str) -> None:
    names["mirror.example.com"] = [address]
    with pytest.raises(NotAllowed, match=rf"is {address} for the controller, which is not a public address"):
        AllowList(["mirror.example.com:80"]).resolve("mirror.example.com", 80)
    named = f"[{address}]:80" if ":" in address else f"{address}:80"
    assert AllowList(["mirror.example.com:80", named]).resolve("mirror.example.com", 80) == [address]


def test_only_the_public_addresses_of_a_name_are_used(names: dict[str, list[str]]) -> None:
    names["mirror.example.com"] = ["10.1.2.3", PUBLIC, "2606:2800:21f::1"]
    found = AllowList(["mirror.example.com:80", "10.1.2.3:81"]).resolve("mirror.example.com", 80)
    assert found == [PUBLIC, "2606:2800:21f::1"]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "mirror.example.com",
        "mirror.example.com:",
        "mirror.example.com:0",
        "mirror.example.com:65536",
        "mirror.example.com:80\n",
        "http://mirror.example.com:80",
        "mirror.*.com:80",
        "*:80",
        "2001:db8::1:80",
        "[2001:db8::1:80",
        "[mirror.example.com]:80",
        "192.0.2.7/24:80",
        "[2001:db8::/129]:80",
    ],
)
def test_other_forms_are_refused(entry: str) -> None:
    with pytest.raises(InvalidRequest, match="proxy_allow"):
        AllowList([entry])
