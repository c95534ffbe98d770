# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's native calls for commands of the agent.

With them libvirt knows what happens in the guest: it waits for the guest's shutdown, informs QEMU of a clock that was
set, and its access control sees which action is requested, and not only that the agent is used. All other commands are
passed to the agent as they are.
"""

from __future__ import annotations

import base64
import contextlib
import typing as t

NativeCall = t.Callable[[t.Any], t.Any]

#: The command whose native call has a limit of its own: libvirt waits at most a minute for the guest to go down.
LIMITED_BY_LIBVIRT = "guest-shutdown"

#: What libvirt's access control has to allow for the native calls for which domain.write is not enough, or not needed
#: (libvirt's remote_protocol.x, ``@acl``).
PERMISSIONS = {
    "guest-fsfreeze-freeze": "domain.fs-freeze",
    "guest-fsfreeze-freeze-list": "domain.fs-freeze",
    "guest-fsfreeze-thaw": "domain.fs-freeze",
    "guest-fstrim": "domain.fs-trim",
    "guest-set-time": "domain.set-time",
    "guest-set-user-password": "domain.set-password",
    "guest-shutdown": "domain.init-control, in addition to domain.write,",
    "guest-suspend-disk": "domain.pm-control",
    "guest-suspend-hybrid": "domain.pm-control",
    "guest-suspend-ram": "domain.pm-control",
}

_NANOSECONDS = 10**9


def native_call(libvirt: t.Any, command: str, arguments: t.Mapping[str, t.Any]) -> NativeCall | None:
    """Return libvirt's native call for a command of the agent; None if it has none for these arguments.

    :param libvirt: the module ``libvirt``.
    :returns: a function that takes the ``libvirt.virDomain`` and returns what the agent would have replied, as far as
        libvirt reports it.
    """
    find = _NATIVE_CALLS.get(command)
    return find(libvirt, arguments) if find is not None else None


def limited(libvirt: t.Any, call: NativeCall, seconds: int) -> NativeCall:
    """Return a native call that gives up after a time; without a limit libvirt waits for the agent for ever.

    libvirt has one limit for all calls of a domain, and does not report its present value. So there is no limit
    afterwards, as when a domain starts (virDomainAgentSetResponseTimeout).

    :param libvirt: the module ``libvirt``.
    :param seconds: how long libvirt waits for the agent.
    """

    def carry_out(domain: t.Any) -> t.Any:
        # A user with the permission to freeze need not have the one to set the limit, which is domain.write.
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
        # libvirt does not report what was trimmed.
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
        time = domain.getTime(0)
        return int(time["seconds"]) * _NANOSECONDS + int(time["nseconds"])

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
