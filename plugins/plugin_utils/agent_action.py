# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the modules of this collection over a host's own guest_agent connection, from the controller.

The modules drive the agent itself, so the guest needs neither Python nor a shell. On any other connection the host is
the one that has the hypervisor's sockets, and the module runs there.

Ansible runs the action that has the name of the module. So each module has a file in ``action/``.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
    from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation

_CONNECTION = "netless.qga.guest_agent"


class AgentAction(ActionBase):
    """The action of a module of this collection."""

    operation: t.ClassVar[Operation]
    """What the module does."""

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
        # Error messages name the module, which the user knows, and not this plugin.
        self._load_name = self._task.action
        operation = self.operation
        dummy, params = self.validate_argument_spec(operation.argument_spec, **operation.constraints)
        target: Target = t.cast(t.Any, self._connection).target
        return operation.carry_out(params, target, check_mode=self._task.check_mode, diff_mode=bool(self._task.diff))
