#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnosis_info
short_description: Find out why a guest agent, or tasks that use it, do not work
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Checks everything that working through a guest agent needs, from the libraries on the host where the module runs to
    the programs in the guest, and returns what is wrong and what to do about it.
  - The module does not fail, whatever it finds, except if its options are invalid. See RV(ok) and RV(findings).
  - The checks run in the order of RV(findings), and end where a finding makes the others impossible. Each check takes
    O(timeout) seconds at most, and the one that runs a program in the guest three times as long.
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
options: {}
notes:
  - If the agent may run programs, the module runs a shell script in the guest, which also starts Python if there is
    one. This changes nothing, so it runs in check mode too.
  - The module does not check what single Ansible modules need in the guest, like a library.
seealso:
  - module: netless.qga.sync
  - module: netless.qga.guest_info
  - ref: ansible_collections.netless.qga.docsite.permissions_guide
    description: Who may do what between the controller and the guest, and how to allow it.
"""

EXAMPLES = r"""
- name: Find out what is wrong with a virtual machine, over its own connection
  netless.qga.diagnosis_info:
  register: diagnosis

- name: Show what to do first
  ansible.builtin.debug:
    var: diagnosis.summary

- name: On the hypervisor, find out what is wrong with a domain
  netless.qga.diagnosis_info:
    domain: web1

- name: Find out what is wrong with a slow QEMU virtual machine
  netless.qga.diagnosis_info:
    endpoint: unix:/run/vms/web1.sock
    timeout: 30

- name: Work on a virtual machine, and explain why if that fails
  block:
    - name: Freeze its filesystems
      netless.qga.fsfreeze:
        state: frozen
  rescue:
    - name: Find out why
      netless.qga.diagnosis_info:
      register: diagnosis

    - name: Fail with what to do first
      ansible.builtin.fail:
        msg: "{{ diagnosis.summary }}"
"""

RETURN = r"""
ok:
  description: Whether the agent, and tasks that use it, work. It is V(true) if no check found a problem.
  type: bool
  returned: success
  sample: false
summary:
  description: What to do first.
  type: str
  returned: success
  sample: >-
    The agent of this guest (AlmaLinux 9.4 (Seafoam Ocelot)) cannot run programs: the agent's configuration blocks
    guest-exec, guest-exec-status. To allow it, edit in the guest FILTER_RPC_ARGS in
    /etc/sysconfig/qemu-ga ...
findings:
  description: What each check found, in the order of the checks. Checks that were impossible are missing.
  type: list
  elements: dict
  returned: success
  contains:
    check:
      description:
        - The name of the check.
        - V(libraries) checks the Python libraries where the module runs. V(libvirt) checks whether libvirt can be asked
          about the domain, and V(domain) whether the domain runs; both are only for libvirt endpoints. V(channel)
          checks whether the endpoint can be opened, and V(agent) whether an agent answers.
        - V(version) checks the agent's version, and V(frozen) whether the guest's filesystems are frozen. V(exec) and
          V(files) check whether the agent may run programs and handle files, and V(commands) whether it has all
          commands that the modules of this collection need. V(speed) measures how long the agent takes to answer.
        - V(shell) checks whether programs run in the guest, V(user) as which user, and V(selinux) how SELinux confines
          them. V(spool) checks where the output of programs is kept until it is read. V(python), V(gzip) and V(setsid)
          check whether the guest has these programs.
      type: str
      sample: exec
    status:
      description:
        - V(ok), V(warning) if most things work, V(problem) if the agent or tasks that use it do not work, or
          V(unknown).
      type: str
      sample: problem
    message:
      description: What the check found.
      type: str
      sample: "The agent cannot run programs: the agent's configuration blocks guest-exec, guest-exec-status"
    advice:
      description: What to do about it. Empty if there is nothing to do.
      type: str
      sample: Edit FILTER_RPC_ARGS in /etc/sysconfig/qemu-ga, and restart the service qemu-guest-agent
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.diagnose import as_result, diagnose
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import Context
from ansible_collections.netless.qga.plugins.module_utils._libvirt.channels import AGENT_CHANNEL
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import require_jsonschema
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing


def run(task: Task) -> Result:
    """Run all checks and return their findings."""
    channel = task.target.address.endpoint.partition(":")[2] if task.domain is not None else ""
    context = Context(task.agent, task.domain, channel or AGENT_CHANNEL, timeout=task.target.connect_timeout)
    return as_result(diagnose(context))


def _can_validate(params: t.Mapping[str, t.Any]) -> bool:
    """Check whether replies can be validated. If not, that is the only finding, and the agent is not used."""
    try:
        require_jsonschema()
    except LibraryMissing:
        return False
    return True


OPERATION = Operation(run, validate_replies=_can_validate)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
