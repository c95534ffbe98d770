# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records on the controller, as another version, a full disk or a damaged file leaves them."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN, THAWED
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import RecordFile
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.results import status_result
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import Record
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import WarmServer
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_path

_ENDPOINT = "unix:/agent"


def freeze_record(data: bytes) -> None:
    """Read the record of a freeze, and write it again."""
    file = RecordFile(_ENDPOINT)
    with open(runtime_path(_ENDPOINT, "freeze"), "wb") as raw:
        raw.write(data)
    record = file.read()
    if record is None:
        return
    assert isinstance(record.is_partial, bool)
    assert all(isinstance(path, str) for path in record.mountpoints)
    for status in (FROZEN, THAWED):
        json.dumps(status_result(status, record))
    file.write(record)
    assert file.read() == record


def warm_record(data: bytes) -> None:
    """Read the record of a warm server, and write it again."""
    descriptor = os.memfd_create("record")
    try:
        os.write(descriptor, data)
        record = Record(descriptor)
        content = record.read()
        assert isinstance(content, dict)
        server = WarmServer.from_dict(content)
        if server is not None:
            _check_server(server)
            assert record.write(server.as_dict())
            assert WarmServer.from_dict(record.read()) == server
    finally:
        os.close(descriptor)


def _check_server(server: WarmServer) -> None:
    kinds: dict[str, type] = {"name": str, "base": str, "uid": int, "next_slot": int, "capacity": int}
    members: dict[str, t.Any] = vars(server)
    assert all(isinstance(members[name], kind) for name, kind in kinds.items())
    assert all(isinstance(name, str) for name in server.sent)
    json.dumps(server.as_dict())
