# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run an operation as a module, on the host that has the hypervisor's sockets or a libvirt URI."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation


def run_module(operation: Operation) -> None:
    """Carry out an operation with the options of this process, print the result and exit."""
    module = AnsibleModule(argument_spec=operation.argument_spec, supports_check_mode=True, **operation.constraints)
    target = Target(Address(uri=os.environ.get("LIBVIRT_DEFAULT_URI") or Address.uri))
    diff_mode = module._diff  # pylint: disable=protected-access  # it has no other name
    result = operation.carry_out(module.params, target, check_mode=module.check_mode, diff_mode=diff_mode)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
