#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file
short_description: Write a file in a guest, or copy one out of it
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Writes O(content), O(content_base64) or O(src) into a file in the guest, or copies a file in the guest to O(dest).
  - The agent's file commands are enough for the contents of files, so the module works where the agent may not run
    programs.
  - The agent needs a program to find out or change the mode of a file, and to check whether a file exists. Where it may
    not run programs, the module does without as far as it can, and warns you.
  - To use the contents of a file in a play, read them with M(netless.qga.file_content_info).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Contents that are larger than 102 KiB or not text are left out.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  path:
    description:
      - The absolute path of the file in the guest. The module follows links, and does not create directories.
    type: str
    required: true
  content:
    description:
      - The text to write into the file.
      - Set C(no_log) for the task if the text is a secret.
    type: str
  content_base64:
    description:
      - The bytes to write into the file, in base64. Use it for contents that are not text.
    type: str
  src:
    description:
      - The file to copy into the guest, on the host where the module runs. For a host with the connection
        P(netless.qga.guest_agent#connection) that is the controller.
    type: path
  dest:
    description:
      - The file to copy the guest's file to, on the host where the module runs. For a host with the connection
        P(netless.qga.guest_agent#connection) that is the controller.
      - The module creates or replaces it once all of the contents have arrived. A file that already has the contents
        stays as it is.
    type: path
  mode:
    description:
      - The mode of the file in the guest, as an octal number in quotes, like V('0644').
      - Without this option an existing file keeps its mode. A new file gets V('0600'), or V('0666') where the agent may
        not run programs.
      - Where the agent may not run programs, the module cannot give a mode to a new file. It writes nothing and fails.
        An existing file keeps its mode, and the module warns you.
      - Cannot be combined with O(dest).
    type: raw
  copy_timeout:
    description:
      - How many seconds the module may take to read and write the contents of the file. After that the task fails.
      - O(timeout) limits each reply of the agent.
    type: float
    default: 3600
  max_size:
    description:
      - The most bytes that the module copies to O(dest). If the guest's file is larger, the task fails.
      - Without this option the module copies what the file has at that time, and does not start if O(dest) has no room
        for it. Of a file that has no size, like a device or one in C(/proc), it copies at most 512 MiB.
    type: int
notes:
  - Exactly one of O(content), O(content_base64), O(src) and O(dest) is required.
  - The agent writes into the file in place. Until it has written everything, other programs in the guest see a part of
    the new contents, and the file stays like that if the agent stops meanwhile. Where this matters, write to another
    file and move it with M(netless.qga.exec).
  - If the module changes both mode and contents of a file, the file has V('0600') until all contents are written.
seealso:
  - module: netless.qga.file_content_info
  - module: netless.qga.exec
  - module: ansible.builtin.copy
    description: Works over the connection, needs Python in the guest, and replaces files atomically.
  - module: ansible.builtin.fetch
    description: Copies files to the controller over the connection, into one directory for each host.
"""

EXAMPLES = r"""
- name: Set the message of the day over the host's own connection
  netless.qga.file:
    path: /etc/motd
    content: |
      This machine has no network.
    mode: "0644"

- name: Copy a file of the hypervisor into a domain
  netless.qga.file:
    domain: web1
    src: /srv/licenses/web1.key
    path: /etc/license.key
    mode: "0400"

- name: Copy a log out of a virtual machine of QEMU
  netless.qga.file:
    endpoint: unix:/run/vms/db1.sock
    path: /var/log/installer.log
    dest: /var/tmp/db1-installer.log
"""

RETURN = r"""
path:
  description: The file in the guest.
  type: str
  returned: success
  sample: /etc/motd
checksum:
  description: The SHA-256 of the contents. In check mode it is that of the contents that the file would have.
  type: str
  returned: success
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
size:
  description: The size of the contents in bytes.
  type: int
  returned: success
  sample: 3
mode:
  description: The mode of the file in the guest. In check mode it is the mode that the file would have.
  type: str
  returned: without O(dest), if O(mode) was given or the file is new, and the mode is known
  sample: "0644"
dest:
  description: The file on the host where the module runs.
  type: str
  returned: with O(dest)
  sample: /var/tmp/db1-installer.log
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.files.content import Source
from ansible_collections.netless.qga.plugins.module_utils._guest.files.file_mode import parse_mode
from ansible_collections.netless.qga.plugins.module_utils._guest.files.guest_file import COPY_TIMEOUT, GuestFile
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils._task.option_values import decode_base64


def run(task: Task) -> Result:
    """Write the guest's file, or copy it to a local one."""
    path, dest = task.params["path"], task.params["dest"]
    guest_file = GuestFile(task.agent, task.target, path, copy_timeout=task.params["copy_timeout"])
    if dest is not None:
        change = guest_file.fetch(dest, check_mode=task.check_mode, max_size=task.params["max_size"])
        return {"path": path, "dest": dest, **change.as_result(diff_mode=task.diff_mode)}
    source, mode = _source(task.params), parse_mode(task.params["mode"])
    change = guest_file.put(source, mode, check_mode=task.check_mode, warn=task.warnings.append)
    return {"path": path, **change.as_result(diff_mode=task.diff_mode)}


def _source(params: t.Mapping[str, t.Any]) -> Source:
    if params["src"] is not None:
        return Source(path=params["src"])
    if params["content"] is not None:
        return Source(params["content"].encode("utf-8"))
    return Source(decode_base64("content_base64", params["content_base64"]))


OPERATION = Operation(
    run,
    {
        "path": {"type": "str", "required": True},
        "content": {"type": "str"},
        "content_base64": {"type": "str"},
        "src": {"type": "path"},
        "dest": {"type": "path"},
        "mode": {"type": "raw"},
        "copy_timeout": {"type": "float", "default": COPY_TIMEOUT},
        "max_size": {"type": "int"},
    },
    {
        "mutually_exclusive": [("content", "content_base64", "src", "dest"), ("mode", "dest")],
        "required_one_of": [("content", "content_base64", "src", "dest")],
    },
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
