# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of a freeze as a damaged file or another version leaves them: they count as none."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import FreezeRecord, RecordFile
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.results import status_result
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_path

ENDPOINT = "unix:/agent"
SOUND: dict[str, t.Any] = {
    "token": "ab",
    "mountpoints": ["/", "/srv"],
    "frozen_at": 1.5e9,
    "guard": 1,
    "thaws_at": 1.6e9,
    "count": 1,
    "thawed_by": "",
}


def read(text: str) -> FreezeRecord | None:
    with open(runtime_path(ENDPOINT, "freeze"), "w", encoding="utf-8") as file:
        file.write(text)
    return RecordFile(ENDPOINT).read()


def test_sound_record_is_read_and_written() -> None:
    record = read(json.dumps(SOUND))
    assert record == FreezeRecord(**SOUND)
    assert record.is_partial
    assert status_result(FROZEN, record)["frozen_at"] == "2017-07-14T02:40:00Z"
    RecordFile(ENDPOINT).write(record)
    assert RecordFile(ENDPOINT).read() == record


@pytest.mark.parametrize(
    "changed",
    [
        {"token": 1},
        {"mountpoints": "/"},
        {"mountpoints": [["/"]]},
        {"mountpoints": [{}]},
        {"frozen_at": "1"},
        {"frozen_at": float("nan")},
        {"frozen_at": -1e300},
        {"thaws_at": float("inf")},
        {"thaws_at": 253402300800},
        {"thaws_at": 10**400},
        {"guard": None},
        {"count": "1"},
        {"thawed_by": None},
        {"unknown": 1},
    ],
    ids=range(14),
)
def test_record_with_a_wrong_value_is_none(changed: dict[str, t.Any]) -> None:
    assert read(json.dumps({**SOUND, **changed})) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000, '"\\ud800"'], ids=range(7))
def test_text_that_is_no_record_is_none(text: str) -> None:
    assert read(text) is None
