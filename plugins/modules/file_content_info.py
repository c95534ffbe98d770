#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_content_info
short_description: Read a file in a guest
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Reads a file in the guest, and returns its contents.
  - The agent's file commands are enough for that, so the module works where the agent may not run programs.
  - A file of more than 16 MiB is too large for a result, and the module fails. Copy such a file to a file on the host
    where the module runs, with M(netless.qga.file) and O(netless.qga.file#module:dest).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  path:
    description:
      - The absolute path of the file in the guest. The module follows links.
      - Set C(no_log) for the task if the contents are a secret.
    type: str
    required: true
  copy_timeout:
    description:
      - How many seconds the module may take to read the contents of the file. After that the task fails.
      - O(timeout) limits each reply of the agent.
    type: float
    default: 3600
notes:
  - Only a program in the guest can check whether a file exists. Where the agent may run programs, RV(ignore:error) is
    V(file_not_found) for a missing file. Otherwise it is V(guest_file_error), as for a file that the agent cannot open.
seealso:
  - module: netless.qga.file
  - module: netless.qga.exec
  - module: ansible.builtin.slurp
    description: Works over the connection, and needs Python in the guest.
"""

EXAMPLES = r"""
- name: Read the public key of the ssh server over the host's own connection
  netless.qga.file_content_info:
    path: /etc/ssh/ssh_host_ed25519_key.pub
  register: host_key

- name: Read a file of a domain on the hypervisor
  netless.qga.file_content_info:
    domain: web1
    path: /etc/machine-id
  register: machine_id

- name: Read a file of a virtual machine of QEMU
  netless.qga.file_content_info:
    endpoint: unix:/run/vms/db1.sock
    path: /etc/os-release
  register: release
"""

RETURN = r"""
path:
  description: The file in the guest.
  type: str
  returned: success
  sample: /etc/hostname
checksum:
  description: The SHA-256 of the contents.
  type: str
  returned: success
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
size:
  description: The size of the contents in bytes.
  type: int
  returned: success
  sample: 3
content:
  description: The contents of the file as text.
  type: str
  returned: if they are UTF-8
  sample: foo
content_base64:
  description: The contents of the file in base64.
  type: str
  returned: if they are not UTF-8
  sample: /wA=
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.files.guest_file import COPY_TIMEOUT, GuestFile
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Read the file."""
    path = task.params["path"]
    guest_file = GuestFile(task.agent, task.target, path, copy_timeout=task.params["copy_timeout"])
    return {"path": path, **guest_file.read().as_result()}


OPERATION = Operation(
    run,
    {
        "path": {"type": "str", "required": True},
        "copy_timeout": {"type": "float", "default": COPY_TIMEOUT},
    },
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
