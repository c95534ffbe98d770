# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network for one guest, for comparisons with ssh.

Nothing leads out of it, and only a port of this machine's loopback leads into it, to the guest's sshd. It is plugged in
while the guest runs, so that the guest is the same as all others.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
from dataclasses import dataclass

from .domains import Domain

_ADDRESS = "10.0.2.15"
"""The address at which QEMU's user-mode network expects a guest."""
_CONFIGURE = f"""
set -eu
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    # lo is there from the start.
    ls /sys/class/net | grep -qv '^lo$' && break
    sleep 0.5
done
# The kernel names the device first, and udev renames it then.
udevadm settle
device=$(ls /sys/class/net | grep -v '^lo$')
ip address add {_ADDRESS}/24 dev "$device"
ip link set "$device" up
mkdir -p -m 700 /root/.ssh
cat >/root/.ssh/authorized_keys
systemctl start ssh.service
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


@dataclass(frozen=True)
class SshAccess:
    """How to log in to a guest as root."""

    port: int
    """A port of the local loopback."""
    key: pathlib.Path
    known_hosts: pathlib.Path


def plug_in(guest: Domain) -> SshAccess:
    """Give a running guest a network, and start its sshd.

    :raises OSError: its agent stops answering.
    :raises RuntimeError: a program failed.
    """
    forward = f"hostfwd=tcp:127.0.0.1:0-{_ADDRESS}:22"
    _command(guest, f"netdev_add user,id=network,restrict=on,{forward}")
    _command(guest, f"device_add virtio-net-pci,netdev=network,bus={guest.free_bus()}")
    forwarded = re.search(r"HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)", guest.monitor("info usernet"))
    if forwarded is None:
        raise RuntimeError("QEMU forwards no port")

    directory = guest.machine.directory
    access = SshAccess(int(forwarded[1]), directory / "id_ed25519", directory / "known_hosts")
    generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "netless-lab", "-f", str(access.key)]
    subprocess.run(generate, check=True, stdin=subprocess.DEVNULL)
    public = access.key.with_suffix(".pub").read_text(encoding="ascii")
    host_key = guest.run("sh", "-c", _CONFIGURE, stdin=public)
    access.known_hosts.write_text(f"[127.0.0.1]:{access.port} {host_key}", encoding="ascii")
    return access


def _command(guest: Domain, command: str) -> None:
    message = guest.monitor(command).strip()
    if message:
        raise RuntimeError(f"QEMU refuses {command}: {message}")
