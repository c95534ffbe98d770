# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's commands that libvirt has calls of its own for.

libvirt then knows what goes on in the guest: it waits for the guest's shutdown, tells QEMU of a clock that was set, and
its access control sees what is done, and not only that something is. The other commands are passed on as they are.
"""

from __future__ import annotations

import base64
import contextlib
import typing as t

OwnCall = t.Callable[[t.Any], t.Any]

#: libvirt itself waits for no more than a minute until the guest goes down.
LIMITED_BY_LIBVIRT = "guest-shutdown"

#: What libvirt's access control has to allow for those of its own calls for which domain.write is not enough, or not
#: needed (libvirt's remote_protocol.x, ``@acl``).
PERMISSIONS = {
    "guest-fsfreeze-freeze": "domain.fs-freeze",
    "guest-fsfreeze-freeze-list": "domain.fs-freeze",
    "guest-fsfreeze-thaw": "domain.fs-freeze",
    "guest-fstrim": "domain.fs-trim",
    "guest-set-time": "domain.set-time",
    "guest-set-user-password": "domain.set-password",
    "guest-shutdown": "domain.init-control, besides domain.write,",
    "guest-suspend-disk": "domain.pm-control",
    "guest-suspend-hybrid": "domain.pm-control",
    "guest-suspend-ram": "domain.pm-control",
}

_NANOSECONDS = 10**9


def own_call(virt: t.Any, command: str, arguments: t.Mapping[str, t.Any]) -> OwnCall | None:
    """libvirt's own call for a command of the agent, if it has one for these arguments.

    :param virt: the module ``libvirt``.
    :returns: takes the ``libvirt.virDomain`` and returns what the agent would have replied, as far as libvirt tells.
    """
    find = _OWN_CALLS.get(command)
    return find(virt, arguments) if find is not None else None


def limited(virt: t.Any, call: OwnCall, seconds: int) -> OwnCall:
    """A call of libvirt's that gives up after a time, which is for ever otherwise.

    libvirt knows such a limit only for all calls of a domain, and does not tell what it was before; so it is none
    afterwards, as it is when a domain starts (virDomainAgentSetResponseTimeout).
    """

    def carry_out(domain: t.Any) -> t.Any:
        # Who may freeze a domain need not be allowed to write to it.
        with contextlib.suppress(virt.libvirtError):
            domain.agentSetResponseTimeout(seconds, 0)
        try:
            return call(domain)
        finally:
            with contextlib.suppress(virt.libvirtError):
                domain.agentSetResponseTimeout(virt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0)

    return carry_out


def _freeze(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    return lambda domain: domain.fsFreeze(arguments.get("mountpoints"), 0)


def _thaw(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    return lambda domain: domain.fsThaw(None, 0)


def _trim(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    def trim(domain: t.Any) -> dict[str, t.Any]:
        domain.fSTrim(None, arguments.get("minimum", 0), 0)
        # libvirt does not tell what was trimmed.
        return {"paths": []}

    return trim


def _shut_down(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall | None:
    calls: dict[str, OwnCall] = {
        "powerdown": lambda domain: domain.shutdownFlags(virt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT),
        "reboot": lambda domain: domain.reboot(virt.VIR_DOMAIN_REBOOT_GUEST_AGENT),
    }
    return calls.get(arguments.get("mode", "powerdown"))


def _suspend(target: str) -> t.Callable[[t.Any, t.Mapping[str, t.Any]], OwnCall]:
    return lambda virt, arguments: lambda domain: domain.pMSuspendForDuration(getattr(virt, target), 0, 0)


def _get_time(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    def get_time(domain: t.Any) -> int:
        told = domain.getTime(0)
        return int(told["seconds"]) * _NANOSECONDS + int(told["nseconds"])

    return get_time


def _set_time(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    def set_time(domain: t.Any) -> dict[str, t.Any]:
        if "time" in arguments:
            seconds, nanoseconds = divmod(arguments["time"], _NANOSECONDS)
            domain.setTime({"seconds": seconds, "nseconds": nanoseconds}, 0)
        else:
            domain.setTime(None, virt.VIR_DOMAIN_TIME_SYNC)
        return {}

    return set_time


def _set_password(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    def set_password(domain: t.Any) -> dict[str, t.Any]:
        password = base64.b64decode(arguments["password"]).decode("utf-8")
        flags = virt.VIR_DOMAIN_PASSWORD_ENCRYPTED if arguments["crypted"] else 0
        domain.setUserPassword(arguments["username"], password, flags)
        return {}

    return set_password


def _get_keys(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    return lambda domain: {"keys": list(domain.authorizedSSHKeysGet(arguments["username"], 0) or [])}


def _add_keys(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    flags = 0 if arguments.get("reset") else virt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND
    return _set_keys(arguments, flags)


def _remove_keys(virt: t.Any, arguments: t.Mapping[str, t.Any]) -> OwnCall:
    return _set_keys(arguments, virt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE)


def _set_keys(arguments: t.Mapping[str, t.Any], flags: int) -> OwnCall:
    def set_keys(domain: t.Any) -> dict[str, t.Any]:
        domain.authorizedSSHKeysSet(arguments["username"], list(arguments["keys"]), flags)
        return {}

    return set_keys


_OWN_CALLS: dict[str, t.Callable[[t.Any, t.Mapping[str, t.Any]], OwnCall | None]] = {
    "guest-fsfreeze-freeze": _freeze,
    "guest-fsfreeze-freeze-list": _freeze,
    "guest-fsfreeze-thaw": _thaw,
    "guest-fstrim": _trim,
    "guest-get-time": _get_time,
    "guest-set-time": _set_time,
    "guest-set-user-password": _set_password,
    "guest-shutdown": _shut_down,
    "guest-ssh-add-authorized-keys": _add_keys,
    "guest-ssh-get-authorized-keys": _get_keys,
    "guest-ssh-remove-authorized-keys": _remove_keys,
    "guest-suspend-disk": _suspend("VIR_NODE_SUSPEND_TARGET_DISK"),
    "guest-suspend-hybrid": _suspend("VIR_NODE_SUSPEND_TARGET_HYBRID"),
    "guest-suspend-ram": _suspend("VIR_NODE_SUSPEND_TARGET_MEM"),
}
