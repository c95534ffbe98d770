# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules of this collection over a host's own guest_agent connection, from the controller.

There is no Python needed in the guest, and not even a shell: the agent itself is what is driven. On any other
connection the host is the one that has the hypervisor's sockets, and the module is run there.
"""

from __future__ import annotations

import importlib
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.connection.guest_agent import Connection

_CONNECTION = "netless.qga.guest_agent"
_MODULES = "ansible_collections.netless.qga.plugins.modules"


class ActionModule(ActionBase):
    """Any of the modules."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run it where it has to be run."""
        super().run(tmp, task_vars)
        if self._connection.transport != _CONNECTION:
            return t.cast(
                "dict[str, t.Any]", self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))
            )
        if self._task.async_val:
            raise AnsibleActionFail(
                f"{self._task.action} runs on the controller for a host with the connection {_CONNECTION}, and cannot "
                f"be asynchronous there: use its options for waiting, or delegate_to the hypervisor"
            )
        operation = self._operation()
        # Errors are about the module, whose name the user knows.
        self._load_name = self._task.action
        dummy, params = self.validate_argument_spec(operation.argument_spec, **operation.constraints)
        connection = t.cast("Connection", self._connection)
        return operation.carry_out(
            params, connection.target, check_mode=self._task.check_mode, diff_mode=bool(self._task.diff)
        )

    def _operation(self) -> Operation:
        name = self._task.action.rpartition(".")[2]
        return t.cast(Operation, importlib.import_module(f"{_MODULES}.{name}").OPERATION)
