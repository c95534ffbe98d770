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
  - Runs a program in the guest through its agent, and returns what it wrote and how it ended. The guest needs a POSIX
    shell, and no Python.
  - The agent has to be allowed to run programs, by C(guest-exec) and C(guest-exec-status), and to handle files, by
    C(guest-file-*). Otherwise nothing is run.
  - Standard input may be of any size and content, and so may standard output and error up to 512 MiB each. Of a program
    that writes more only the exit status is returned, and the task fails.
  - The program is killed, with all of its process group, when O(exec_timeout) is over. What it leaves running in the
    background is not waited for.
  - The guest's log shows neither arguments, environment nor standard input.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: partial
    details: The program is not run. Whether it would be is told if O(creates) or O(removes) is given; the task is
      skipped otherwise.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: With O(creates) or O(removes) only, as the module cannot know what the program does.
  platform:
    support: full
    platforms: posix
options:
  argv:
    description:
      - The program and its arguments, which no shell looks at. The program is searched for in the guest's C(PATH).
      - One of this and O(cmd) is required.
    type: list
    elements: str
  cmd:
    description:
      - A command line for the guest's C(/bin/sh).
      - One of this and O(argv) is required.
    type: str
  stdin:
    description:
      - The standard input of the program, as text.
      - Set C(no_log) for the task if it is a secret.
    type: str
  stdin_base64:
    description:
      - The same in base64, for bytes that are no text. Nothing is added to it.
    type: str
  stdin_add_newline:
    description:
      - Whether a newline is added to O(stdin).
    type: bool
    default: true
  env:
    description:
      - Environment variables for the program, in addition to those of the agent. The task's keyword C(environment) is
        not for the guest.
      - Set C(no_log) for the task if there are secrets in it. They are seen by C(ps) in the guest for a moment.
    type: dict
    default: {}
  chdir:
    description:
      - The directory in the guest to run the program in.
      - Without it, that is the home directory of the user whom the agent runs as, normally V(/root). A relative path
        begins there too.
    type: str
  creates:
    description:
      - A path in the guest, or a pattern of the shell's for some. If there is one, the program is not run.
      - A relative path begins where the program would be run.
    type: str
  removes:
    description:
      - A path in the guest, or a pattern of the shell's for some. If there is none, the program is not run.
      - A relative path begins where the program would be run.
    type: str
  exec_timeout:
    description:
      - Seconds that the program may take. It is killed then, and the task fails.
      - O(timeout) is for the agent's answers, and not for the program.
    type: float
    default: 3600
seealso:
  - module: ansible.builtin.command
    description: Works over the connection too, and needs Python in the guest.
  - module: ansible.builtin.raw
    description: Needs no Python either, and the connection of this collection.
  - module: netless.qga.file
"""

EXAMPLES = r"""
- name: Install Python, over the host's own connection
  netless.qga.exec:
    argv: [dnf, --assumeyes, install, python3]
    creates: /usr/bin/python3

- name: See on the hypervisor how full the disks of a domain are
  netless.qga.exec:
    domain: web1
    cmd: df -h | grep ^/dev/
  register: disks
  changed_when: false

- name: Feed a program of a virtual machine of QEMU's
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
  description: What was to be run, as it was given.
  type: raw
  returned: always, unless the program could not be started or followed
  sample: [df, -h]
rc:
  description: The exit status of the program. It is 128 and the number of the signal if one ended it.
  type: int
  returned: always, unless the program could not be started or followed to its end
  sample: 0
stdout:
  description:
    - What the program wrote to standard output, without newlines at the end.
    - Bytes that are not UTF-8 are replaced by U+FFFD.
  type: str
  returned: always, unless the program could not be started or followed
  sample: "/dev/vda1  9.8G  3.1G  6.2G  34% /"
stdout_lines:
  description: The same, line by line.
  type: list
  elements: str
  returned: always, unless the program could not be started or followed
  sample: ["/dev/vda1  9.8G  3.1G  6.2G  34% /"]
stdout_base64:
  description: All that the program wrote to standard output, in base64.
  type: str
  returned: when it is not UTF-8
  sample: /wA=
stderr:
  description: What the program wrote to standard error, likewise.
  type: str
  returned: always, unless the program could not be started or followed
  sample: ""
stderr_lines:
  description: The same, line by line.
  type: list
  elements: str
  returned: always, unless the program could not be started or followed
  sample: []
stderr_base64:
  description: All that the program wrote to standard error, in base64.
  type: str
  returned: when it is not UTF-8
  sample: /wA=
start:
  description: When the program was started, by the clock of the host where the module runs.
  type: str
  returned: when the program was run
  sample: "2026-03-01 12:00:00.000000"
end:
  description: When its end was seen, by the same clock.
  type: str
  returned: when the program was run
  sample: "2026-03-01 12:00:00.310000"
delta:
  description: The time between them.
  type: str
  returned: when the program was run
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
    """Run the program, unless there is a reason not to."""
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
