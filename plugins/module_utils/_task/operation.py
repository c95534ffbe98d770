# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module does, so that it can run as a module on a hypervisor or on the controller over a host's connection."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import DEFAULT_TIMEOUT, Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError, TaskFailed, error_name

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

Result = dict[str, t.Any]

# The options of doc_fragments/endpoint.py. None of them has a default, so that the connection's options apply to those
# that are not set.
_ENDPOINT_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "domain": {"type": "str"},
    "uri": {"type": "str"},
    "endpoint": {"type": "str"},
    "timeout": {"type": "float"},
}


@dataclass(frozen=True)
class Task:
    """The options of one task, and what it works with.

    :param params: the module's options.
    :param check_mode: whether to report what would change and change nothing.
    :param diff_mode: whether to return what changes, before and after.
    :param target: where the agent is, and how long to wait for it.
    :param agent: the agent.
    :param domain: the guest's libvirt domain, if it has one.
    :param warnings: what the user should know in addition to the result.
    """

    params: t.Mapping[str, t.Any]
    check_mode: bool
    diff_mode: bool
    target: Target
    agent: Agent
    domain: LibvirtDomain | None
    warnings: list[str] = field(default_factory=list)

    def deadline(self, usual: float = DEFAULT_TIMEOUT) -> Deadline:
        """See :meth:`Target.deadline`."""
        return self.target.deadline(usual)

    def changed(self, before: t.Any, after: t.Any) -> Result:
        """Return the part of a result that reports whether something changed."""
        result: Result = {"changed": before != after}
        if self.diff_mode:
            result["diff"] = {"before": before, "after": after}
        return result


@dataclass(frozen=True)
class Operation:
    """What a module does, and its options.

    :param run: does it, and returns the result.
    :param arguments: the module's own options, as in AnsibleModule's ``argument_spec``.
    :param constraints: other parameters of AnsibleModule, like ``mutually_exclusive``.
    :param native_calls: whether to use libvirt's own function for a command that has one. False sends every command to
        the agent unchanged.
    :param limit_each_reply: whether each answer has a time limit of its own, because many calls share one deadline.
    :param validate_replies: takes the options, and returns whether to check replies against QEMU's schema.
    """

    run: t.Callable[[Task], Result]
    arguments: t.Mapping[str, t.Mapping[str, t.Any]] = field(default_factory=dict)
    constraints: t.Mapping[str, t.Any] = field(default_factory=dict)
    native_calls: bool = True
    limit_each_reply: bool = False
    validate_replies: t.Callable[[t.Mapping[str, t.Any]], bool] = lambda params: True

    @property
    def argument_spec(self) -> dict[str, t.Any]:
        """All options, including those of the endpoint."""
        return {**_ENDPOINT_ARGUMENTS, **self.arguments}

    def carry_out(self, params: t.Mapping[str, t.Any], target: Target, *, check_mode: bool, diff_mode: bool) -> Result:
        """Carry out the operation, and close everything that it opened.

        :param params: the module's options.
        :param target: the agent, unless the options name another one.
        :param check_mode: whether to report what would change and change nothing.
        :param diff_mode: whether to return what changes, before and after.
        :returns: the module's result. If it failed, ``failed`` is true, ``msg`` is the error, and ``error`` is the name
            of its class in :mod:`.errors`, in lower case with underscores.
        """
        warnings: list[str] = []
        with contextlib.ExitStack() as stack:
            try:
                target = target.with_options(params)
                agent = target.agent(
                    native_calls=self.native_calls,
                    validate_replies=self.validate_replies(params),
                    limit_each_reply=self.limit_each_reply,
                )
                stack.callback(agent.close)
                domain = target.libvirt_domain()
                if domain is not None:
                    stack.callback(domain.close)
                task = Task(params, check_mode, diff_mode, target, agent, domain, warnings)
                result = {"changed": False, **self.run(task)}
            except QgaError as exc:
                result = {"failed": True, "changed": False, "msg": str(exc), "error": error_name(exc)}
            except TaskFailed as exc:
                result = {"failed": True, "changed": False, "msg": str(exc), **exc.results}
            except OSError as exc:
                result = {"failed": True, "changed": False, "msg": str(exc), "error": "os_error"}
        if warnings:
            result["warnings"] = warnings
        return result
