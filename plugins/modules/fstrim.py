#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fstrim
short_description: Give the space that a guest's filesystems do not use back to the host
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Has a guest's agent trim all mounted filesystems, so that the host knows which blocks of the disks are not used.
    Disks whose images are sparse, or that lie on thin volumes, become smaller by that, if they are attached with
    C(discard=unmap).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    description: Trims nothing, and reports a change, as what there is to trim cannot be known before.
  diff_mode:
    support: N/A
    description: It changes nothing that could be shown.
  idempotent:
    support: partial
    details: Some filesystems, like ext4, remember what was trimmed and report nothing the second time. Others, like
      xfs, trim all again.
  platform:
    support: full
    platforms: Linux, Windows
options:
  minimum:
    description:
      - Bytes. Shorter runs of unused blocks are left alone, which is faster.
      - Without it, or with V(0), all are trimmed.
    type: int
seealso:
  - module: netless.qga.fsfreeze
notes:
  - Without O(timeout), V(1800) seconds are allowed. The agent answers nothing else in the meantime.
  - With the endpoint V(libvirt) it is done by libvirt's own call, which does not tell what was trimmed. RV(paths) is
    empty then.
"""

EXAMPLES = r"""
- name: Trim a virtual machine over its own connection
  netless.qga.fstrim:

- name: Trim a domain on its hypervisor, but for runs that are shorter than one mebibyte
  netless.qga.fstrim:
    domain: web1
    minimum: 1048576
  delegate_to: hypervisor1

- name: Trim a virtual machine of QEMU's, and see how much it was
  netless.qga.fstrim:
    endpoint: unix:/run/vms/web1.sock
  register: trim
"""

RETURN = r"""
paths:
  description: The filesystems of the guest. None through libvirt's own call.
  type: list
  elements: dict
  returned: success but in check mode, and if none of them could be trimmed
  contains:
    path:
      description: Where it is mounted.
      type: str
      sample: /
    trimmed:
      description: How many bytes were trimmed.
      type: int
      returned: if the agent tells
      sample: 1071943680
    minimum:
      description: The shortest run that was trimmed, which may be longer than O(minimum).
      type: int
      returned: if the agent tells
      sample: 0
    error:
      description: Why it was not trimmed.
      type: str
      returned: if it was not trimmed
      sample: trim not supported
trimmed:
  description: How many bytes were trimmed altogether.
  type: int
  returned: if the agent tells that of any filesystem
  sample: 1071943680
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.fstrim import TRIM_TIMEOUT, trim_filesystems
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Trim the guest's filesystems."""
    minimum = task.params["minimum"]
    if minimum is not None and not 0 <= minimum < 2**63:
        raise InvalidRequest("minimum has to be a number of bytes, from 0 to 2^63 - 1")
    if task.check_mode:
        return {"changed": True}
    report = trim_filesystems(task.agent, minimum, task.deadline(TRIM_TIMEOUT))
    task.warnings.extend(f"Not trimmed: {path}: {error}" for path, error in report.errors.items())
    return {**report.as_result(), "changed": report.may_have_trimmed or task.target.address.uses_libvirt_rpc}


OPERATION = Operation(run, {"minimum": {"type": "int"}})


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
