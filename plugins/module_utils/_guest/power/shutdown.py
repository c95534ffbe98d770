# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ending a guest and starting it anew, through its agent.

The agent is silent when guest-shutdown succeeds, so what comes of it is watched from outside: in the domain's state, on
the channel, and in what a guest tells of its boot.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.agent_monitor import (
    is_left_behind,
    is_nobody_there,
)
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
    Unreachable,
)

POWERDOWN, HALT, REBOOT = MODES = ("powerdown", "halt", "reboot")

# How long the agent has to be silent on an open channel until the guest counts as ended. It is one of the first
# services to be stopped, so that others may still be busy.
SILENCE_TIMEOUT = 30.0

# How long the agent's error is waited for. It runs shutdown(8) and waits for it, and that hardly does more than say
# what is to be done.
ERROR_TIMEOUT = 5.0

# libvirt waits for the guest's end itself for so long, in seconds, and then answers.
_SHUTDOWN_TIMEOUT = 65.0

# What the power button is for, but for frozen filesystems: the guest could not unmount them.
_FALLBACK_FROM = (AgentRefused, Unreachable, OutcomeUnknown, ProtocolViolation)


@dataclass(frozen=True)
class ShutdownResult:
    """What became of it.

    :param evidence: what has shown it; None if nothing did.
    :param state: of the guest: ``off``, ``halted`` or ``running``; None if it is not known.
    :param before: the boot that was ended, if it was asked for.
    :param after: the boot that runs now, likewise.
    :param fallback_reason: why the power button was pressed; empty if it was not.
    :param last: what was seen last, for messages.
    """

    evidence: str | None
    state: str | None
    before: Boot = UNKNOWN
    after: Boot = UNKNOWN
    fallback_reason: str = ""
    last: str = ""


class Shutdown:
    """A guest that is to be shut down or rebooted.

    :param monitor: of the guest.
    :param libvirt_waits: whether guest-shutdown goes through libvirt's own calls, which return when the guest ended.
    """

    def __init__(self, monitor: GuestMonitor, *, libvirt_waits: bool = False) -> None:
        self._monitor = monitor
        self._agent = monitor.agent
        self._domain = monitor.domain
        self._libvirt_waits = libvirt_waits

    def off_already(self, deadline: Deadline, *, assume_off: bool = False) -> str | None:
        """What shows that the guest is off; None if nothing does.

        :param assume_off: whether it is if the endpoint cannot be found. QEMU removes its sockets when it ends.
        :raises EndpointUnavailable: libvirt does not answer or refuses.
        :raises Unreachable: without libvirt, the agent does not answer, and that need not be the reason.
        :raises ProtocolViolation: something else than an agent answered.
        """
        if self._domain is not None:
            return "domain_off" if self._domain.state(deadline) is DomainState.OFF else None
        try:
            self._agent.sync(deadline)
        except Unreachable as exc:
            endpoint = self._agent.endpoint
            if is_left_behind(exc, endpoint) or (assume_off and is_nobody_there(exc, endpoint)):
                return "channel_closed"
            raise
        return None

    def check(self, mode: str, *, fallback: bool, asking: Deadline) -> None:
        """See what can be seen of whether :meth:`end` would go well; raises what that does."""
        try:
            self._agent.require_commands("guest-shutdown", deadline=asking)
        except FilesystemsFrozen:
            raise
        except _FALLBACK_FROM:
            if not fallback or not self._has_button(mode):
                raise

    def end(self, mode: str, *, wait_seconds: float | None, fallback: bool, asking: Deadline) -> ShutdownResult:
        """Have the guest do it, and see that it does.

        :param mode: one of :data:`MODES`.
        :param wait_seconds: until it has to be seen; None for waiting for nothing but the agent's error.
        :param fallback: whether libvirt is to press the power button if the agent does not do it in half of the time.
        :param asking: when the agent has to have answered what it is asked before.
        :raises FilesystemsFrozen: nothing was done.
        :raises AgentRefused: and the others as :meth:`Agent.call` does, if there is no fallback.
        """
        deadline = Deadline.after(wait_seconds or 0)
        share = Deadline.after(deadline.remaining() / 2) if fallback else deadline
        before = UNKNOWN
        try:
            self._agent.require_commands("guest-shutdown", deadline=asking)
            if mode == REBOOT:
                before = read_boot(self._agent, asking)
            if wait_seconds is None:
                share = Deadline.after(ERROR_TIMEOUT)
            waits = self._libvirt_waits and mode != HALT and wait_seconds is not None
            error_timeout = _SHUTDOWN_TIMEOUT if waits else ERROR_TIMEOUT
            self._monitor.send("guest-shutdown", {"mode": mode}, error_timeout=error_timeout, deadline=share)
        except FilesystemsFrozen:
            raise
        except _FALLBACK_FROM as exc:
            if not fallback or not self._has_button(mode):
                raise
            reason = str(exc)
        else:
            if wait_seconds is None:
                return ShutdownResult("no_error", None, before)
            seen = self._wait(mode, before, share)
            # A guest that is on its way to come back would be ended once more by the button.
            if (
                seen is None
                and fallback
                and not (mode == REBOOT and self._monitor.agent_was_silent)
                and self._has_button(mode)
            ):
                reason = f"the agent did not bring the guest down within {wait_seconds / 2:g} s"
                return self._press(mode, before, reason, deadline)
            seen = seen or self._wait(mode, before, deadline)
            return seen or ShutdownResult(None, None, before, last=self._monitor.last)
        return self._press(mode, before, reason, None if wait_seconds is None else deadline)

    def _has_button(self, mode: str) -> bool:
        """Whether the power button is of any use: not for a guest that is paused, suspended, or off instead of back."""
        state = t.cast(LibvirtDomain, self._domain).state(Deadline.after(LIBVIRT_TIMEOUT))
        return state is DomainState.RUNNING or (state is DomainState.OFF and mode != REBOOT)

    def _press(self, mode: str, before: Boot, reason: str, deadline: Deadline | None) -> ShutdownResult:
        domain = t.cast(LibvirtDomain, self._domain)
        if domain.state(Deadline.after(LIBVIRT_TIMEOUT)) is DomainState.OFF:
            # It has gone down by itself meanwhile.
            reason = ""
        else:
            press_power_button(domain, Deadline.after(LIBVIRT_TIMEOUT), start_anew=mode == REBOOT)
        if deadline is None:
            return ShutdownResult("no_error", None, before, fallback_reason=reason)
        # It ends the machine, whether the guest was to be halted or not.
        seen = self._wait(mode if mode == REBOOT else POWERDOWN, before, deadline)
        if seen is None:
            return ShutdownResult(None, None, before, fallback_reason=reason, last=self._monitor.last)
        return ShutdownResult(seen.evidence, seen.state, before, seen.after, reason)

    def _wait(self, mode: str, before: Boot, deadline: Deadline) -> ShutdownResult | None:
        if mode == REBOOT:
            return self._monitor.wait_for(lambda: self._look_for_another_boot(before), deadline)
        return self._monitor.wait_for(lambda: self._look_for_end(mode), deadline)

    def _look_for_end(self, mode: str) -> ShutdownResult | None:
        if self._domain is not None:
            if self._monitor.domain_state() is DomainState.OFF:
                return ShutdownResult("domain_off", "off")
            if mode == POWERDOWN:
                return None
        absence = self._monitor.agent_absence(SILENCE_TIMEOUT)
        if absence is None:
            return None
        return ShutdownResult(absence, "halted" if mode == HALT and absence == "agent_gone" else "off")

    def _look_for_another_boot(self, before: Boot) -> ShutdownResult | None:
        if not self._monitor.agent_answers():
            if self._domain is not None:
                self._monitor.domain_state()
            return None
        try:
            after = read_boot(self._agent, Deadline.after(self._monitor.poll_timeout))
        except QgaError as exc:
            # It may be about to end just now.
            self._monitor.last = str(exc)
            return None
        another = before.is_another(after)
        if another:
            return ShutdownResult("uptime_reset" if after.boot_id is None else "new_boot_id", "running", before, after)
        if another is None and self._monitor.agent_was_silent:
            return ShutdownResult("agent_returned", "running", before, after)
        return None
