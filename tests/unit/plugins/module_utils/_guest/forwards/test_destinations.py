# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where forwards lead: the forms that a user may write."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import Forward, parse_forwards
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "forward", "shown"),
    [
        (
            "3128:proxy.example.com:3128",
            Forward(3128, "proxy.example.com", 3128),
            "127.0.0.1:3128 to proxy.example.com:3128",
        ),
        ("80:192.0.2.1:8080", Forward(80, "192.0.2.1", 8080), "127.0.0.1:80 to 192.0.2.1:8080"),
        ("65535:[2001:db8::1]:1", Forward(65535, "2001:db8::1", 1), "127.0.0.1:65535 to [2001:db8::1]:1"),
    ],
)
def test_port_host_and_port_of_the_host(text: str, forward: Forward, shown: str) -> None:
    assert parse_forwards([text]) == [forward]
    assert str(forward) == shown


@pytest.mark.parametrize(
    "texts",
    [
        [""],
        ["3128"],
        ["3128:proxy"],
        ["0:proxy:3128"],
        ["3128:proxy:0"],
        ["65536:proxy:1"],
        ["1:proxy:65536"],
        ["3128::1"],
        ["3128:2001:db8::1:80"],
        ["0.0.0.0:3128:proxy:3128"],
        ["3128:proxy:3128 "],
        ["3128:proxy:3128\n"],
        ["3128:http://proxy:3128"],
        ["3128:proxy:3128", "3128:other:80"],
    ],
)
def test_other_forms_are_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="remote_forwards"):
        parse_forwards(texts)
