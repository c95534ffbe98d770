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

NativeCall = t.Callable[[t.Any], t.Any]

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


def native_call(libvirt: t.Any, command: str, arguments: t.Mapping[str, t.Any]) -> NativeCall | None:
    """libvirt's own call for a command of the agent, if it has one for these arguments.

    :param libvirt: the module ``libvirt``.
    :returns: takes the ``libvirt.virDomain`` and returns what the agent would have replied, as far as libvirt tells.
    """
    find = _NATIVE_CALLS.get(command)
    return find(libvirt, arguments) if find is not None else None


def limited(libvirt: t.Any, call: NativeCall, seconds: int) -> NativeCall:
    """A call of libvirt's that gives up after a time, which is for ever otherwise.

    libvirt knows such a limit only for all calls of a domain, and does not tell what it was before; so it is none
    afterwards, as it is when a domain starts (virDomainAgentSetResponseTimeout).
    """

    def carry_out(domain: t.Any) -> t.Any:
        # Who may freeze a domain need not be allowed to write to it.
        with contextlib.suppress(libvirt.libvirtError):
            domain.agentSetResponseTimeout(seconds, 0)
        try:
            return call(domain)
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                domain.agentSetResponseTimeout(libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0)

    return carry_out


def _freeze(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    return lambda domain: domain.fsFreeze(arguments.get("mountpoints"), 0)


def _thaw(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    return lambda domain: domain.fsThaw(None, 0)


def _trim(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    def trim(domain: t.Any) -> dict[str, t.Any]:
        domain.fSTrim(None, arguments.get("minimum", 0), 0)
        # libvirt does not tell what was trimmed.
        return {"paths": []}

    return trim


def _shut_down(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall | None:
    calls: dict[str, NativeCall] = {
        "powerdown": lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT),
        "reboot": lambda domain: domain.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT),
    }
    return calls.get(arguments.get("mode", "powerdown"))


def _suspend(target: str) -> t.Callable[[t.Any, t.Mapping[str, t.Any]], NativeCall]:
    return lambda libvirt, arguments: lambda domain: domain.pMSuspendForDuration(getattr(libvirt, target), 0, 0)


def _get_time(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    def get_time(domain: t.Any) -> int:
        told = domain.getTime(0)
        return int(told["seconds"]) * _NANOSECONDS + int(told["nseconds"])

    return get_time


def _set_time(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    def set_time(domain: t.Any) -> dict[str, t.Any]:
        if "time" in arguments:
            seconds, nanoseconds = divmod(arguments["time"], _NANOSECONDS)
            domain.setTime({"seconds": seconds, "nseconds": nanoseconds}, 0)
        else:
            domain.setTime(None, libvirt.VIR_DOMAIN_TIME_SYNC)
        return {}

    return set_time


def _set_password(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    def set_password(domain: t.Any) -> dict[str, t.Any]:
        password = base64.b64decode(arguments["password"]).decode("utf-8")
        flags = libvirt.VIR_DOMAIN_PASSWORD_ENCRYPTED if arguments["crypted"] else 0
        domain.setUserPassword(arguments["username"], password, flags)
        return {}

    return set_password


def _get_keys(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    return lambda domain: {"keys": list(domain.authorizedSSHKeysGet(arguments["username"], 0) or [])}


def _add_keys(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    flags = 0 if arguments.get("reset") else libvirt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND
    return _set_keys(arguments, flags)


def _remove_keys(libvirt: t.Any, arguments: t.Mapping[str, t.Any]) -> NativeCall:
    return _set_keys(arguments, libvirt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE)


def _set_keys(arguments: t.Mapping[str, t.Any], flags: int) -> NativeCall:
    def set_keys(domain: t.Any) -> dict[str, t.Any]:
        domain.authorizedSSHKeysSet(arguments["username"], list(arguments["keys"]), flags)
        return {}

    return set_keys


_NATIVE_CALLS: dict[str, t.Callable[[t.Any, t.Mapping[str, t.Any]], NativeCall | None]] = {
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
