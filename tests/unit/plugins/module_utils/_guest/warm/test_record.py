# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of a warm server as a damaged file or another version leaves them: they describe no server."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import Record
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import WarmServer

SERVER = WarmServer("netless-qga.0.warm", "/run", 1000, next_slot=3, capacity=4096, sent={"b", "a"})


@pytest.fixture(name="record")
def fixture_record(tmp_path: pathlib.Path) -> t.Iterator[Record]:
    descriptor = os.open(tmp_path / "record", os.O_RDWR | os.O_CREAT, 0o600)
    yield Record(descriptor)
    os.close(descriptor)


def test_server_is_read_as_it_was_written(record: Record) -> None:
    assert record.read() == {}
    assert record.write(SERVER.as_dict())
    assert WarmServer.from_dict(record.read()) == SERVER
    assert record.write({})
    assert WarmServer.from_dict(record.read()) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "\xff", "[" * 100_000], ids=range(6))
def test_text_that_is_no_record_is_empty(record: Record, tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "record").write_bytes(text.encode("latin-1"))
    assert record.read() == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"name": None},
        {"base": {}},
        {"uid": "0"},
        {"next_slot": 1.5},
        {"capacity": None},
        {"sent": 1},
        {"sent": [["a"]]},
        {"sent": [1]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_record_with_a_wrong_value_describes_no_server(changed: dict[str, t.Any]) -> None:
    assert WarmServer.from_dict({**SERVER.as_dict(), **changed}) is None
