# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suspending a guest through its agent, and waking it up through libvirt.

The agent does not answer when that succeeds. The domain's state and the channel show what happened.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.availability import wait_for_agent
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import (
    LIBVIRT_TIMEOUT,
    GuestMonitor,
)
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import wake_up
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError, TaskFailed, error_name

DISK = "disk"

#: The command of each mode.
COMMANDS = {"ram": "guest-suspend-ram", DISK: "guest-suspend-disk", "hybrid": "guest-suspend-hybrid"}

# Seconds that the agent has to be silent on an open channel until the guest counts as suspended.
SILENCE_TIMEOUT = 10.0

# Seconds to wait for the agent's error. The agent tries the methods that the guest offers one after the other.
ERROR_TIMEOUT = 10.0


@dataclass(frozen=True)
class Evidence:
    """What shows that a guest is suspended.

    :param evidence: ``domain_suspended``, ``domain_off``, ``channel_closed`` or ``agent_gone``.
    """

    evidence: str

    @property
    def state(self) -> str:
        """The guest's state: ``suspended``, or ``off`` with its memory on its disk."""
        return "off" if self.evidence in ("domain_off", "channel_closed") else "suspended"


@dataclass(frozen=True)
class SuspendResult:
    """What happened to a guest that was to be suspended.

    :param mode: one of :data:`COMMANDS`.
    :param elapsed: seconds that it took.
    :param evidence: what shows that the guest is, or was, suspended; None if nothing does.
    :param was_suspended: whether it was suspended already.
    :param resume: whether it is to be woken up.
    :param resumed: whether it was woken up.
    """

    mode: str
    elapsed: float
    evidence: Evidence | None
    was_suspended: bool = False
    resume: bool = False
    resumed: bool = False

    @property
    def changed(self) -> bool:
        """Whether something changed, or would in check mode. A guest that is up again was suspended all the same."""
        return self.resume or not self.was_suspended

    def as_result(self) -> dict[str, t.Any]:
        """Return it as a module's result."""
        result: dict[str, t.Any] = {"mode": self.mode, "elapsed": self.elapsed, "resumed": self.resumed}
        if self.evidence is not None:
            result["evidence"] = self.evidence.evidence
            result["state"] = "running" if self.resumed else self.evidence.state
        return result

    def difference(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the guest's state before and after, and what to expect after if that was not seen."""
        suspended = ("off" if self.mode == DISK else "suspended") if self.evidence is None else self.evidence.state
        before = suspended if self.was_suspended else "running"
        return {"state": before}, {"state": "running" if self.resume else suspended}


class Suspend:
    """A guest that is to be suspended once.

    :param monitor: of the guest.
    :param mode: one of :data:`COMMANDS`.
    :param wait_timeout: seconds until the guest has to be seen suspended, and again until one that was woken up has
        to answer.
    :param resume: whether libvirt is to wake the guest up. It needs a monitor with a domain, and not :data:`DISK`.
    :param libvirt_waits: whether the command goes through libvirt's own call, which returns when it has happened.
    """

    def __init__(
        self,
        monitor: GuestMonitor,
        mode: str,
        *,
        wait_timeout: float,
        resume: bool = False,
        libvirt_waits: bool = False,
    ) -> None:
        self._monitor = monitor
        self._agent = monitor.agent
        self._domain = monitor.domain
        self._mode = mode
        self._wait_timeout = wait_timeout
        self._resume = resume
        self._libvirt_waits = libvirt_waits

    def already_suspended(self, deadline: Deadline) -> SuspendResult | None:
        """Return what shows that the guest is suspended; None if nothing does. Nothing shows it on a socket.

        :raises EndpointUnavailable: libvirt does not answer or refuses.
        """
        evidence = None if self._domain is None else self._evidence_of(self._domain.state(deadline))
        return None if evidence is None else self._result(evidence, was_suspended=True)

    def check(self, asking: Deadline) -> SuspendResult:
        """Return a result without evidence; raise what :meth:`Agent.require_commands` does if the agent would refuse.

        :param asking: until then the agent has to have answered.
        """
        self._agent.require_commands(COMMANDS[self._mode], deadline=asking)
        return self._result(None)

    def run(self, asking: Deadline) -> SuspendResult:
        """Have the guest suspend itself, and wait until that is seen.

        :param asking: until then the agent has to have answered what it is asked before the command.
        :raises AgentRefused: the agent, or libvirt, cannot or may not do it.
        :raises Unreachable: there is no agent; nothing was done.
        :raises TaskFailed: nothing was seen in time. The guest may still do it.
        """
        self.check(asking)
        deadline = Deadline.after(self._wait_timeout)
        error_timeout = math.inf if self._libvirt_waits else ERROR_TIMEOUT
        self._monitor.send(COMMANDS[self._mode], error_timeout=error_timeout, deadline=deadline)
        evidence = self._monitor.wait_for(self._look, deadline)
        if evidence is None:
            raise TaskFailed(
                f"{self._agent.endpoint}: the agent was asked to suspend the guest to {self._mode}, and that was not "
                f"seen within {self._wait_timeout:g} s. It may still happen. What was seen last: {self._monitor.last}",
                error="outcome_unknown",
                **self._result(None).as_result(),
            )
        return self._result(evidence)

    def wake_up(self, suspended: SuspendResult) -> SuspendResult:
        """Wake the guest up from its memory, and wait for its agent.

        :param suspended: what shows that it is suspended.
        :raises TaskFailed: libvirt did not wake the guest up, or its agent does not answer.
        """
        domain = t.cast(LibvirtDomain, self._domain)
        deadline = Deadline.after(self._wait_timeout)
        try:
            wake_up(domain, Deadline.after(LIBVIRT_TIMEOUT))
            wait_for_agent(self._agent, attempt_timeout=self._monitor.poll_timeout, deadline=deadline)
        except QgaError as exc:
            raise TaskFailed(
                f"the guest was suspended, and is not up again after {self._wait_timeout:g} s: {exc}",
                error=error_name(exc),
                changed=True,
                **suspended.as_result(),
            ) from exc
        return self._result(suspended.evidence, was_suspended=suspended.was_suspended, resumed=True)

    def _look(self) -> Evidence | None:
        if self._domain is not None:
            state = self._monitor.domain_state()
            return None if state is None else self._evidence_of(state)
        absence = self._monitor.agent_absence(SILENCE_TIMEOUT)
        return None if absence is None else Evidence(absence)

    def _evidence_of(self, state: DomainState) -> Evidence | None:
        if self._mode == DISK:
            return Evidence("domain_off") if state is DomainState.OFF else None
        return Evidence("domain_suspended") if state is DomainState.SUSPENDED else None

    def _result(
        self, evidence: Evidence | None, *, was_suspended: bool = False, resumed: bool = False
    ) -> SuspendResult:
        return SuspendResult(
            mode=self._mode,
            elapsed=self._monitor.elapsed,
            evidence=evidence,
            was_suspended=was_suspended,
            resume=self._resume,
            resumed=resumed,
        )
