# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the modules of this collection over a host's own guest_agent connection, from the controller.

The modules drive the agent itself, so the guest needs neither Python nor a shell. On any other connection the host is
the one that has the hypervisor's sockets, and the module runs there.
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
    """The action of every module."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module on the controller for a guest_agent connection, and on the host for any other."""
        super().run(tmp, task_vars)
        if self._connection.transport != _CONNECTION:
            return t.cast(
                "dict[str, t.Any]", self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))
            )
        if self._task.async_val:
            raise AnsibleActionFail(
                f"{self._task.action} runs on the controller for a host with the connection {_CONNECTION}, and cannot "
                f"be asynchronous there: use its options for waiting, or run it on the hypervisor with delegate_to"
            )
        operation = self._operation()
        # Error messages name the module, which the user knows, and not this plugin.
        self._load_name = self._task.action
        dummy, params = self.validate_argument_spec(operation.argument_spec, **operation.constraints)
        connection = t.cast("Connection", self._connection)
        return operation.carry_out(
            params, connection.target, check_mode=self._task.check_mode, diff_mode=bool(self._task.diff)
        )

    def _operation(self) -> Operation:
        name = self._task.action.rpartition(".")[2]
        return t.cast(Operation, importlib.import_module(f"{_MODULES}.{name}").OPERATION)
