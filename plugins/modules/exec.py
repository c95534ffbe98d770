#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: exec
short_description: Run a program in a guest that need not have Python
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Runs a program in the guest through its agent, and returns its output and exit status. The guest needs a POSIX
    shell, and no Python.
  - The agent must be allowed to run programs, with C(guest-exec) and C(guest-exec-status), and to read and write files,
    with C(guest-file-*). Otherwise the module runs nothing.
  - Standard input can have any size and content. So can standard output and standard error, up to 512 MiB each. If a
    program writes more, the task fails and returns only the exit status.
  - When O(exec_timeout) has passed, the module kills the program and its process group. It does not wait for processes
    that the program leaves in the background.
  - The guest's log shows neither arguments, environment nor standard input.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: partial
    details: The module does not run the program. With O(creates) or O(removes) it checks whether it would run it.
      Without them it skips the task.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Only with O(creates) or O(removes), since the module cannot know what the program does.
  platform:
    support: full
    platforms: posix
options:
  argv:
    description:
      - The program and its arguments. No shell interprets them. The program is looked up in the guest's C(PATH).
      - Exactly one of O(argv) and O(cmd) is required.
    type: list
    elements: str
  cmd:
    description:
      - A command line for the guest's C(/bin/sh).
      - Exactly one of O(argv) and O(cmd) is required.
    type: str
  stdin:
    description:
      - The standard input of the program, as text.
      - Set C(no_log) for the task if the text is a secret.
    type: str
  stdin_base64:
    description:
      - The standard input of the program, in base64. Use it for bytes that are not text. No newline is added.
    type: str
  stdin_add_newline:
    description:
      - Whether to add a newline to O(stdin).
    type: bool
    default: true
  env:
    description:
      - Environment variables for the program, in addition to those of the agent. The task's keyword C(environment) has
        no effect in the guest.
      - Set C(no_log) for the task if a value is a secret. For a moment, C(ps) in the guest shows the values.
    type: dict
    default: {}
  chdir:
    description:
      - The directory in the guest to run the program in.
      - The default is the home directory of the user that the agent runs as, normally V(/root). A relative path starts
        there too.
    type: str
  creates:
    description:
      - A path in the guest, or a shell pattern. If any such path exists, the module does not run the program.
      - A relative path starts in the directory in which the program would run.
    type: str
  removes:
    description:
      - A path in the guest, or a shell pattern. If no such path exists, the module does not run the program.
      - A relative path starts in the directory in which the program would run.
    type: str
  exec_timeout:
    description:
      - How many seconds the program may take. After that the module kills the program, and the task fails.
      - If the program ends shortly before that, reading its output may take up to 30 seconds longer.
      - O(timeout) limits each reply of the agent, and not the program.
    type: float
    default: 3600
seealso:
  - module: ansible.builtin.command
    description: Works over the connection too, but needs Python in the guest.
  - module: ansible.builtin.raw
    description: Needs no Python either, but works only over the connection.
  - module: netless.qga.file
"""

EXAMPLES = r"""
- name: Install Python, over the host's own connection
  netless.qga.exec:
    argv: [dnf, --assumeyes, install, python3]
    creates: /usr/bin/python3

- name: Show on the hypervisor how full the disks of a domain are
  netless.qga.exec:
    domain: web1
    cmd: df -h | grep ^/dev/
  register: disks
  changed_when: false

- name: Pass input to a program in a virtual machine of QEMU
  netless.qga.exec:
    endpoint: unix:/run/vms/db1.sock
    argv: [psql, --no-psqlrc]
    chdir: /var/lib/postgresql
    env:
      PGDATABASE: inventory
    stdin: "{{ lookup('ansible.builtin.file', 'schema.sql') }}"
    exec_timeout: 600
"""

RETURN = r"""
cmd:
  description: The program as you gave it, O(argv) or O(cmd).
  type: raw
  returned: always, unless an error came before the program was started
  sample: [df, -h]
rc:
  description:
    - The exit status of the program. If a signal ended the program, it is 128 plus the number of the signal.
    - It is V(0) if the program was not run.
  type: int
  returned: always, unless the program could not be started or followed to its end
  sample: 0
stdout:
  description:
    - What the program wrote to standard output, without newlines at the end.
    - Bytes that are not UTF-8 are replaced by U+FFFD.
  type: str
  returned: always, unless the program could not be started or followed to its end
  sample: "/dev/vda1  9.8G  3.1G  6.2G  34% /"
stdout_lines:
  description: The lines of RV(stdout).
  type: list
  elements: str
  returned: always, unless the program could not be started or followed to its end
  sample: ["/dev/vda1  9.8G  3.1G  6.2G  34% /"]
stdout_base64:
  description: Everything that the program wrote to standard output, in base64.
  type: str
  returned: if standard output is not UTF-8
  sample: /wA=
stderr:
  description:
    - What the program wrote to standard error, without newlines at the end.
    - Bytes that are not UTF-8 are replaced by U+FFFD.
  type: str
  returned: always, unless the program could not be started or followed to its end
  sample: ""
stderr_lines:
  description: The lines of RV(stderr).
  type: list
  elements: str
  returned: always, unless the program could not be started or followed to its end
  sample: []
stderr_base64:
  description: Everything that the program wrote to standard error, in base64.
  type: str
  returned: if standard error is not UTF-8
  sample: /wA=
start:
  description: When the program was started, by the clock of the host where the module runs.
  type: str
  returned: if the program was run to its end
  sample: "2026-03-01 12:00:00.000000"
end:
  description: When the module noticed the end of the program, by the same clock.
  type: str
  returned: if the program was run to its end
  sample: "2026-03-01 12:00:00.310000"
delta:
  description: The time between RV(start) and RV(end).
  type: str
  returned: if the program was run to its end
  sample: "0:00:00.310000"
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.execute import execute
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.invocation import Invocation
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import SHELL
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils._task.option_values import decode_base64


def run(task: Task) -> Result:
    """Run the program, unless its conditions forbid it."""
    params = task.params
    invocation = Invocation(
        argv=[SHELL, "-c", params["cmd"]] if params["argv"] is None else params["argv"],
        directory=params["chdir"] or "",
        environment=params["env"],
        creates=params["creates"] or "",
        removes=params["removes"] or "",
    )
    return execute(
        task.agent,
        task.target,
        invocation,
        cmd=params["argv"] or params["cmd"],
        stdin=_stdin(params),
        exec_timeout=params["exec_timeout"],
        check_mode=task.check_mode,
    )


def _stdin(params: t.Mapping[str, t.Any]) -> bytes:
    if params["stdin_base64"] is not None:
        return decode_base64("stdin_base64", params["stdin_base64"])
    if params["stdin"] is None:
        return b""
    text: str = params["stdin"]
    return (f"{text}\n" if params["stdin_add_newline"] else text).encode("utf-8")


OPERATION = Operation(
    run,
    {
        "argv": {"type": "list", "elements": "str"},
        "cmd": {"type": "str"},
        "stdin": {"type": "str"},
        "stdin_base64": {"type": "str"},
        "stdin_add_newline": {"type": "bool", "default": True},
        "env": {"type": "dict", "default": {}},
        "chdir": {"type": "str"},
        "creates": {"type": "str"},
        "removes": {"type": "str"},
        "exec_timeout": {"type": "float", "default": 3600},
    },
    {
        "mutually_exclusive": [("argv", "cmd"), ("stdin", "stdin_base64")],
        "required_one_of": [("argv", "cmd")],
    },
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
