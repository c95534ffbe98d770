# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies one file with the task's connection, and records how long only that took. No module is run."""

from __future__ import annotations

import filecmp
import os
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The action behind ``transfer``.

    ``put`` copies a local file to the path ``guest``. ``fetch`` copies that back, and compares it with a local file.
    """

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Copy the file, and record its size and the seconds."""
        super().run(tmp, task_vars)
        from benchmarks.records import record

        guest_path = self._task.args["guest"]
        local = Path(self._task.args.get("put") or self._task.args["fetch"])
        fetched = local.with_name(f"{local.name}.{os.getpid()}")
        self._connection._connect()
        started = time.perf_counter()
        if "put" in self._task.args:
            self._connection.put_file(str(local), guest_path)
        else:
            self._connection.fetch_file(guest_path, str(fetched))
        seconds = time.perf_counter() - started
        if "fetch" in self._task.args:
            if not filecmp.cmp(local, fetched, shallow=False):
                raise AnsibleError(f"{guest_path} came back different from {local}")
            fetched.unlink()
        record({"transfer": self._task.name, "bytes": local.stat().st_size, "seconds": seconds})
        return {"changed": False}
