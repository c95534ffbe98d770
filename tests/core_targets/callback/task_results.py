# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the result of every task and loop item to a file, one JSON object a line, for comparing two runs."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_results
type: notification
short_description: Writes the result of every task as JSON
description:
  - Appends the result of every task and loop item to the file in E(TASK_RESULTS), one JSON object a line.
"""


class CallbackModule(CallbackBase):
    """A callback plugin that writes results to the file in the environment variable ``TASK_RESULTS``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "task_results"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, status: str, result: t.Any) -> None:
        # What runs on the controller itself does not use the connection.
        if "localhost" in (result.host.get_name(), result.task.delegate_to):
            return
        record = {
            "host": result.host.get_name(),
            "action": result.task.action,
            "task": result.task.get_name(),
            "status": status,
            "result": result.result,
        }
        with open(os.environ["TASK_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True, default=repr) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._write("unreachable", result)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._write("item ok", result)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._write("item failed", result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._write("item skipped", result)

    def v2_runner_retry(self, result: t.Any) -> None:
        self._write("retry", result)
