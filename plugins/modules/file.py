#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file
short_description: Put contents into a guest's file, or get them out
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Writes and reads a file in the guest by the agent's file commands. They are enough for contents, so that this works
    where the agent may not run programs.
  - What else there is about a file, its mode and whether it is there, takes a program. Where the agent may not run any,
    this module does without as far as it can, and says so.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Contents that are larger than 100 KiB or no text are not shown.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  path:
    description:
      - The file in the guest, as an absolute path. Links are followed, and directories are not made.
    type: str
    required: true
  state:
    description:
      - V(present) puts O(content), O(content_base64) or O(src) into the file, unless it has them already.
      - V(read) gets its contents, and writes them to O(dest) or returns them.
    type: str
    choices: [present, read]
    default: present
  content:
    description:
      - What is to be in the file, as text.
      - Set C(no_log) for the task if it is a secret.
    type: str
  content_base64:
    description:
      - The same in base64, for bytes that are no text.
    type: str
  src:
    description:
      - A file on the host where the module runs, which is the controller for a host with the connection
        P(netless.qga.guest_agent#connection). Its contents are put into the guest's file.
    type: path
  dest:
    description:
      - A file on the host where the module runs, for O(state=read). It appears, or is replaced, when all of the
        contents are there, and is left alone if it has them already.
    type: path
  mode:
    description:
      - The mode of the file in the guest, as an octal number in quotes, like V('0644').
      - Without it a file that is there keeps its mode, and a new one gets V('0600'), or V('0666') where the agent may
        not run programs.
      - Where the agent may not run programs a new file cannot have a mode of one's own. Nothing is written then, and
        the task fails. The mode of a file that is there is left as it is, with a warning.
    type: raw
notes:
  - The agent writes into the file itself. Others see a part of the new contents until the last is written, and if the
    agent stops meanwhile, it stays so. Write to another file and move it where this matters, by M(netless.qga.exec).
  - A file whose mode is changed along with its contents has V('0600') until all of them are written.
seealso:
  - module: ansible.builtin.copy
    description: Works over the connection, needs Python in the guest, and replaces files at once.
  - module: netless.qga.exec
"""

EXAMPLES = r"""
- name: Say what everybody should know, over the host's own connection
  netless.qga.file:
    path: /etc/motd
    content: |
      This machine has no network.
    mode: "0644"

- name: Put a file of the hypervisor's into a domain
  netless.qga.file:
    domain: web1
    src: /srv/licenses/web1.key
    path: /etc/license.key
    mode: "0400"

- name: Read a file out of a virtual machine of QEMU's
  netless.qga.file:
    endpoint: unix:/run/vms/db1.sock
    path: /etc/os-release
    state: read
  register: release

- name: Fetch a log
  netless.qga.file:
    domain: web1
    path: /var/log/installer.log
    state: read
    dest: /var/tmp/web1-installer.log
"""

RETURN = r"""
path:
  description: The file in the guest.
  type: str
  returned: success
  sample: /etc/motd
checksum:
  description: The SHA-256 of its contents, as they are now or would be.
  type: str
  returned: success
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
size:
  description: Their size in bytes.
  type: int
  returned: success
  sample: 3
mode:
  description: The mode of the file in the guest, as it is now or would be.
  type: str
  returned: with O(state=present), if O(mode) was given or the file is new, and the mode is known
  sample: "0644"
content:
  description: The contents of the file.
  type: str
  returned: with O(state=read) without O(dest), if they are UTF-8
  sample: foo
content_base64:
  description: The contents of the file in base64.
  type: str
  returned: with O(state=read) without O(dest), if they are not UTF-8
  sample: /wA=
dest:
  description: The file on the host where the module runs.
  type: str
  returned: with O(dest)
  sample: /var/tmp/web1-installer.log
"""

import base64
import binascii
import os
import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.files.content import Source, difference
from ansible_collections.netless.qga.plugins.module_utils._guest.files.guest_file import GuestFile
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

_OCTAL = re.compile(r"(?:0o)?[0-7]{3,5}\Z")
_MAX_MODE = 0o7777


def run(task: Task) -> Result:
    """Put or get the contents."""
    path = task.params["path"]
    if not path.startswith("/") or "\0" in path:
        raise InvalidRequest("path has to be an absolute path in the guest")
    act = _put if task.params["state"] == "present" else _get
    return act(task, GuestFile(task.agent, task.target, path))


def _put(task: Task, guest_file: GuestFile) -> Result:
    placed = guest_file.put(
        _source(task.params), _mode(task.params["mode"]), check_mode=task.check_mode, warn=task.warnings.append
    )
    path = task.params["path"]
    result: Result = {
        "changed": placed.changed,
        "path": path,
        "checksum": placed.after.checksum,
        "size": placed.after.size,
    }
    if placed.mode is not None:
        result["mode"] = f"{placed.mode:04o}"
    if task.diff_mode:
        diffs = [difference(placed.before, placed.after, path)]
        if placed.mode != placed.mode_before and placed.before is not None:
            diffs.append({"before": {"mode": f"{placed.mode_before:04o}"}, "after": {"mode": f"{placed.mode:04o}"}})
        result["diff"] = diffs
    return result


def _get(task: Task, guest_file: GuestFile) -> Result:
    params = task.params
    for option in ("content", "content_base64", "src", "mode"):
        if params[option] is not None:
            raise InvalidRequest(f"{option} is for state=present, and not for state=read")
    result: Result = {"path": params["path"]}
    if params["dest"] is None:
        data, found = guest_file.read()
        result["checksum"], result["size"] = found.checksum, found.size
        try:
            result["content"] = data.decode("utf-8")
        except UnicodeDecodeError:
            result["content_base64"] = base64.b64encode(data).decode("ascii")
        return result
    dest = params["dest"]
    if os.path.isdir(dest):
        raise InvalidRequest(f"dest is a directory: {dest}. Give the name of the file too")
    found, result["changed"] = guest_file.fetch(dest, check_mode=task.check_mode)
    return {**result, "checksum": found.checksum, "size": found.size, "dest": dest}


def _source(params: t.Mapping[str, t.Any]) -> Source:
    if params["src"] is not None:
        return Source(path=params["src"])
    if params["content"] is not None:
        return Source(params["content"].encode("utf-8"))
    try:
        return Source(base64.b64decode("".join(params["content_base64"].split()), validate=True))
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest("content_base64 is not base64") from exc


def _mode(given: t.Any) -> int | None:
    """A mode as Ansible's modules take it: text is octal, and a number is what YAML made of one."""
    if given is None:
        return None
    if isinstance(given, str) and _OCTAL.match(given):
        given = int(given, 8)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= _MAX_MODE:
        raise InvalidRequest("mode has to be an octal number in quotes, like '0644'")
    return given


OPERATION = Operation(
    run,
    {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "read"], "default": "present"},
        "content": {"type": "str"},
        "content_base64": {"type": "str"},
        "src": {"type": "path"},
        "dest": {"type": "path"},
        "mode": {"type": "raw"},
    },
    {
        "mutually_exclusive": [("content", "content_base64", "src", "dest")],
        "required_if": [("state", "present", ("content", "content_base64", "src"), True)],
    },
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
