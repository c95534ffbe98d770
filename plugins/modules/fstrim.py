#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fstrim
short_description: Give unused space of a guest's filesystems back to the host
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest's agent to trim all mounted filesystems, so that the host knows which blocks of the disks are unused.
    This makes sparse disk images and thin volumes smaller, if the disks are attached with C(discard=unmap).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    description: In check mode trims nothing and reports a change, because it cannot know what there is to trim.
  diff_mode:
    support: N/A
    description: It changes nothing that a diff could show.
  idempotent:
    support: partial
    details: Some filesystems, like ext4, remember what was trimmed and report nothing the second time. Others, like
      xfs, trim everything again.
  platform:
    support: full
    platforms: Linux, Windows
options:
  minimum:
    description:
      - The shortest run of unused blocks to trim, in bytes. A larger value makes trimming faster.
      - Without this option, or with V(0), all unused blocks are trimmed.
    type: int
seealso:
  - module: netless.qga.fsfreeze
notes:
  - Without O(timeout), trimming may take V(1800) seconds. The agent answers nothing else in the meantime.
  - With the endpoint V(libvirt), libvirt's own call does the trim. It does not report what was trimmed, so RV(paths) is
    empty.
"""

EXAMPLES = r"""
- name: Trim a virtual machine over its own connection
  netless.qga.fstrim:

- name: Trim a domain on its hypervisor, except for runs shorter than one mebibyte
  netless.qga.fstrim:
    domain: web1
    minimum: 1048576
  delegate_to: hypervisor1

- name: Trim a virtual machine that QEMU runs without libvirt, and register how much was trimmed
  netless.qga.fstrim:
    endpoint: unix:/run/vms/web1.sock
  register: trim
"""

RETURN = r"""
paths:
  description: The filesystems of the guest. Empty if libvirt's own call did the trim.
  type: list
  elements: dict
  returned: success, except in check mode, and if none of the filesystems could be trimmed
  contains:
    path:
      description: Where the filesystem is mounted.
      type: str
      sample: /
    trimmed:
      description: How many bytes were trimmed.
      type: int
      returned: if the agent reports it
      sample: 1071943680
    minimum:
      description: The shortest run that was trimmed, which may be longer than O(minimum).
      type: int
      returned: if the agent reports it
      sample: 0
    error:
      description: Why it was not trimmed.
      type: str
      returned: if it was not trimmed
      sample: trim not supported
trimmed:
  description: How many bytes were trimmed altogether.
  type: int
  returned: if the agent reports it for any filesystem
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
