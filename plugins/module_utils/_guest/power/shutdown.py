# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Powering a guest down, halting it or rebooting it through its agent.

The agent does not answer when guest-shutdown succeeds. The domain's state, the channel, and what the agent reports
about its boot show what happened.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.agent_monitor import NOBODY_THERE
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import UNKNOWN, Boot, read_boot
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import (
    LIBVIRT_TIMEOUT,
    GuestMonitor,
)
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import press_power_button
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    FilesystemsFrozen,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    TaskFailed,
    Unreachable,
    UnreachableReason,
)

POWERDOWN, HALT, REBOOT = MODES = ("powerdown", "halt", "reboot")

# Seconds that the agent has to be silent on an open channel until the guest counts as down. The agent is one of the
# first services to be stopped, so others may still be busy.
SILENCE_TIMEOUT = 30.0

# Seconds to wait for the agent's error. The agent runs shutdown(8) and waits for it, and shutdown(8) does little more
# than pass the request on.
ERROR_TIMEOUT = 5.0

# libvirt itself waits this many seconds for the guest to go down, and then answers.
_LIBVIRT_SHUTDOWN_TIMEOUT = 65.0

# Errors of the agent after which the power button may help. It does not help a guest with frozen filesystems, which
# could not unmount them.
_FALLBACK_FROM = (AgentRefused, Unreachable, OutcomeUnknown, ProtocolViolation)


@dataclass(frozen=True)
class ShutdownResult:
    """What happened to a guest that was to be shut down or rebooted.

    :param mode: one of :data:`MODES`.
    :param elapsed: seconds that it took.
    :param evidence: what has shown it; None if nothing did.
    :param state: of the guest: ``off``, ``halted`` or ``running``; None if it is not known.
    :param was_off: whether the guest was off already.
    :param before: the boot that ended, if it was read.
    :param after: the boot that runs now, if it was read.
    :param fallback_reason: why libvirt pressed the power button; empty if it did not.
    """

    mode: str
    elapsed: float
    evidence: str | None = None
    state: str | None = None
    was_off: bool = False
    before: Boot = UNKNOWN
    after: Boot = UNKNOWN
    fallback_reason: str = ""

    def as_result(self) -> dict[str, t.Any]:
        """Return it as a module's result."""
        known = {
            "evidence": self.evidence,
            "state": self.state,
            "fallback_reason": self.fallback_reason or None,
            "boot_id_before": self.before.boot_id,
            "boot_id_after": self.after.boot_id,
        }
        return {
            "mode": self.mode,
            "elapsed": self.elapsed,
            "fallback_used": bool(self.fallback_reason),
            **{name: value for name, value in known.items() if value is not None},
        }

    def difference(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the guest's state before and after, and what to expect after if that was not seen."""
        if self.was_off:
            return {"state": "off"}, {"state": "off"}
        if self.mode == REBOOT:
            before, after = self.before.boot_id or "this one", self.after.boot_id or "another one"
            return {"state": "running", "boot": before}, {"state": "running", "boot": after}
        return {"state": "running"}, {"state": self.state or ("halted" if self.mode == HALT else "off")}


class Shutdown:
    """A guest that is to be shut down or rebooted once.

    :param monitor: of the guest.
    :param mode: one of :data:`MODES`.
    :param wait_timeout: seconds until the guest has to be seen down, or back; None to wait only for the agent's error.
    :param fallback: whether libvirt is to press the power button if the agent does not bring the guest down in half
        of that time. It needs a monitor with a domain.
    :param libvirt_waits: whether guest-shutdown goes through libvirt's own calls, which return when the guest is down.
    :param warn: takes a text that the user is to be warned with.
    """

    def __init__(
        self,
        monitor: GuestMonitor,
        mode: str,
        *,
        wait_timeout: float | None,
        fallback: bool = False,
        libvirt_waits: bool = False,
        warn: t.Callable[[str], None] = lambda text: None,
    ) -> None:
        self._monitor = monitor
        self._agent = monitor.agent
        self._domain = monitor.domain
        self._mode = mode
        self._wait_timeout = wait_timeout
        self._fallback = fallback
        self._libvirt_waits = libvirt_waits
        self._warn = warn
        self._before = UNKNOWN
        self._fallback_reason = ""

    def already_off(self, deadline: Deadline, *, assume_off: bool = False) -> ShutdownResult | None:
        """Return what shows that there is nothing to do, as the guest is off; None if nothing shows it.

        :param assume_off: whether an endpoint where nobody is there is enough. QEMU removes its sockets when it ends.
        :raises EndpointUnavailable: libvirt does not answer or refuses.
        :raises Unreachable: without libvirt, the agent does not answer, which may have another reason.
        :raises ProtocolViolation: something else than an agent answered.
        """
        if self._mode == REBOOT:
            return None
        if self._domain is not None:
            is_off = self._domain.state(deadline) is DomainState.OFF
            return self._result("domain_off", "off", was_off=True) if is_off else None
        try:
            self._agent.sync(deadline)
        except Unreachable as exc:
            if exc.reason is UnreachableReason.LEFT_BEHIND or (assume_off and exc.reason in NOBODY_THERE):
                return self._result("channel_closed", "off", was_off=True)
            raise
        return None

    def check(self, asking: Deadline) -> ShutdownResult:
        """Return a result without evidence, or raise what :meth:`run` would raise, without sending the command.

        :param asking: until then the agent has to have answered.
        """
        try:
            self._agent.require_commands("guest-shutdown", deadline=asking)
        except _FALLBACK_FROM as exc:
            if not self._can_fall_back(exc):
                raise
        return self._result()

    def run(self, asking: Deadline) -> ShutdownResult:
        """Send the command, and wait until the guest is seen down, or back after a reboot.

        :param asking: until then the agent has to have answered what it is asked before the command.
        :raises FilesystemsFrozen: the guest's filesystems are frozen; nothing was done.
        :raises AgentRefused: and the others as :meth:`Agent.call` does, if there is no fallback.
        :raises TaskFailed: nothing was seen in time. The guest may still do it.
        """
        deadline = Deadline.after(self._wait_timeout or 0)
        agents_share = Deadline.after(deadline.remaining() / 2) if self._fallback else deadline
        try:
            self._send(asking, agents_share)
        except _FALLBACK_FROM as exc:
            if not self._can_fall_back(exc):
                raise
            self._press_power_button(str(exc))
            seen = self._wait_for_power_button(deadline)
        else:
            seen = self._wait_for_agent(agents_share, deadline)
        if seen is None:
            raise TaskFailed(
                f"{self._agent.endpoint}: the agent was asked to {self._mode} the guest, and that was not seen within "
                f"{self._wait_timeout:g} s. It may still happen. What was seen last: {self._monitor.last}",
                error="outcome_unknown",
                **self._result().as_result(),
            )
        return seen

    def _send(self, asking: Deadline, agents_share: Deadline) -> None:
        self._agent.require_commands("guest-shutdown", deadline=asking)
        if self._mode == REBOOT:
            self._before = read_boot(self._agent, asking)
        error_timeout = ERROR_TIMEOUT
        if self._wait_timeout is None:
            agents_share = Deadline.after(ERROR_TIMEOUT)
        elif self._libvirt_waits and self._mode != HALT:
            error_timeout = _LIBVIRT_SHUTDOWN_TIMEOUT
        self._monitor.send("guest-shutdown", {"mode": self._mode}, error_timeout=error_timeout, deadline=agents_share)

    def _wait_for_agent(self, agents_share: Deadline, deadline: Deadline) -> ShutdownResult | None:
        if self._wait_timeout is None:
            return self._result("no_error")
        seen = self._wait(self._mode, agents_share)
        if seen is None and self._fallback and not self._is_rebooting() and self._button_helps():
            self._press_power_button(f"the agent did not bring the guest down within {self._wait_timeout / 2:g} s")
            return self._wait_for_power_button(deadline)
        return seen or self._wait(self._mode, deadline)

    def _wait_for_power_button(self, deadline: Deadline) -> ShutdownResult | None:
        if self._wait_timeout is None:
            return self._result("no_error")
        # The button switches the machine off even if the guest was to be halted.
        return self._wait(self._mode if self._mode == REBOOT else POWERDOWN, deadline)

    def _is_rebooting(self) -> bool:
        """Return whether the guest seems to be on its way back: the button would end it once more."""
        return self._mode == REBOOT and self._monitor.agent_was_silent

    def _can_fall_back(self, exc: QgaError) -> bool:
        return self._fallback and not isinstance(exc, FilesystemsFrozen) and self._button_helps()

    def _button_helps(self) -> bool:
        """Return whether the power button is of use: not if the guest is paused, suspended, or off instead of back."""
        state = t.cast(LibvirtDomain, self._domain).state(Deadline.after(LIBVIRT_TIMEOUT))
        return state is DomainState.RUNNING or (state is DomainState.OFF and self._mode != REBOOT)

    def _press_power_button(self, reason: str) -> None:
        """Press the power button, unless the guest has gone down by itself meanwhile."""
        domain = t.cast(LibvirtDomain, self._domain)
        if domain.state(Deadline.after(LIBVIRT_TIMEOUT)) is not DomainState.OFF:
            press_power_button(domain, Deadline.after(LIBVIRT_TIMEOUT), restart=self._mode == REBOOT)
            self._fallback_reason = reason
            self._warn(f"libvirt pressed the power button, because: {reason}")

    def _wait(self, mode: str, deadline: Deadline) -> ShutdownResult | None:
        if mode == REBOOT:
            return self._monitor.wait_for(self._look_for_another_boot, deadline)
        return self._monitor.wait_for(lambda: self._look_for_end(mode), deadline)

    def _look_for_end(self, mode: str) -> ShutdownResult | None:
        if self._domain is not None:
            if self._monitor.domain_state() is DomainState.OFF:
                return self._result("domain_off", "off")
            if mode == POWERDOWN:
                return None
        absence = self._monitor.agent_absence(SILENCE_TIMEOUT)
        if absence is None:
            return None
        return self._result(absence, "halted" if mode == HALT and absence == "agent_gone" else "off")

    def _look_for_another_boot(self) -> ShutdownResult | None:
        if not self._monitor.agent_answers():
            if self._domain is not None:
                # For messages.
                self._monitor.domain_state()
            return None
        try:
            after = read_boot(self._agent, Deadline.after(self._monitor.poll_timeout))
        except QgaError as exc:
            # The guest may be going down at this moment.
            self._monitor.last = str(exc)
            return None
        is_another = self._before.is_another(after)
        if is_another:
            return self._result("uptime_reset" if after.boot_id is None else "new_boot_id", "running", after)
        if is_another is None and self._monitor.agent_was_silent:
            return self._result("agent_returned", "running", after)
        return None

    def _result(
        self, evidence: str | None = None, state: str | None = None, after: Boot = UNKNOWN, *, was_off: bool = False
    ) -> ShutdownResult:
        return ShutdownResult(
            mode=self._mode,
            elapsed=self._monitor.elapsed,
            evidence=evidence,
            state=state,
            was_off=was_off,
            before=self._before,
            after=after,
            fallback_reason=self._fallback_reason,
        )
