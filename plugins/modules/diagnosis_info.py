#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnosis_info
short_description: Find out why a guest agent, or tasks over it, do not work
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Looks at all that working through a guest agent takes, from the libraries on this side to the programs in the guest,
    and tells what is wrong and what to do about it.
  - It does not fail, whatever it finds, unless its options cannot be used. See RV(ok) and RV(findings).
  - It looks in the order of RV(findings), and no further than what it found lets it. Each look takes O(timeout) seconds
    at the most, and the one at what programs find in the guest three times as long.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options: {}
notes:
  - Where programs may be run in the guest, it runs a shell script that looks around, and Python if there is one. These
    change nothing, so they are run in check mode too.
  - What is missing in the guest for a module of Ansible's own, like a library, it does not know.
seealso:
  - module: netless.qga.sync
  - module: netless.qga.guest_info
  - ref: ansible_collections.netless.qga.docsite.permissions_guide
    description: Who may do what on the whole way, and how to allow it.
"""

EXAMPLES = r"""
- name: See what is wrong with a virtual machine, over its own connection
  netless.qga.diagnosis_info:
  register: diagnosis

- name: Tell what to do first
  ansible.builtin.debug:
    var: diagnosis.summary

- name: See on the hypervisor what is wrong with a domain
  netless.qga.diagnosis_info:
    domain: web1

- name: See what is wrong with a virtual machine of QEMU's, and be patient
  netless.qga.diagnosis_info:
    endpoint: unix:/run/vms/web1.sock
    timeout: 30

- name: Work on a virtual machine, and tell why it cannot be worked on
  block:
    - name: Freeze its filesystems
      netless.qga.fsfreeze:
        state: frozen
  rescue:
    - name: Look at it
      netless.qga.diagnosis_info:
      register: diagnosis

    - name: End with what is to be done
      ansible.builtin.fail:
        msg: "{{ diagnosis.summary }}"
"""

RETURN = r"""
ok:
  description: Whether the agent, and tasks over it, work. It is so if no check found a problem.
  type: bool
  returned: success
  sample: false
summary:
  description: What to do first.
  type: str
  returned: success
  sample: >-
    The agent of this guest (AlmaLinux 9.4 (Seafoam Ocelot)) cannot run programs: the agent's configuration blocks
    guest-exec, guest-exec-status. To allow it, edit FILTER_RPC_ARGS in /etc/sysconfig/qemu-ga ...
findings:
  description: What each check found, in the order in which they were made. Checks that could not be made are not here.
  type: list
  elements: dict
  returned: success
  contains:
    check:
      description:
        - What was looked at.
        - V(libraries) are those of Python where the module runs. V(libvirt) is whether it can be asked about the
          domain, V(domain) whether that runs; both only for endpoints of libvirt's. V(channel) is whether the endpoint
          can be opened, V(agent) whether an agent answers.
        - V(version) is the agent's, V(frozen) whether the guest's filesystems are, V(exec) and V(files) whether
          programs may be run and files be handled, V(commands) what else modules of this collection need, V(speed) how
          long it takes for an answer.
        - V(shell) is whether programs run in the guest, V(user) as whom, V(selinux) how they are confined. V(spool) is
          where their output is kept, V(python), V(gzip) and V(setsid) are whether the guest has these.
      type: str
      sample: exec
    status:
      description:
        - V(ok), V(warning) if most things work, V(problem) if the agent or tasks over it do not, or V(unknown).
      type: str
      sample: problem
    message:
      description: What was found.
      type: str
      sample: "The agent cannot run programs: the agent's configuration blocks guest-exec, guest-exec-status"
    advice:
      description: What to do about it; empty where nothing is to be done.
      type: str
      sample: Edit FILTER_RPC_ARGS in /etc/sysconfig/qemu-ga, and restart the service qemu-guest-agent
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.diagnose import as_result, diagnose
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import Context
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import AGENT_CHANNEL
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import require_jsonschema
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing


def run(task: Task) -> Result:
    """Look at everything, and tell."""
    channel = task.target.address.endpoint.partition(":")[2] if task.domain is not None else ""
    context = Context(task.agent, task.domain, channel or AGENT_CHANNEL, timeout=task.target.connect_timeout)
    return as_result(diagnose(context))


def _can_check(params: t.Mapping[str, t.Any]) -> bool:
    """Whether replies can be checked. If not, that is what is found, and nothing is asked."""
    try:
        require_jsonschema()
    except LibraryMissing:
        return False
    return True


OPERATION = Operation(run, validate_replies=_can_check)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
