# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The URI of a credential, with libvirt's own client and a real ssh server: which keys it accepts, and no questions."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ansible_collections.netless.qga.tests.guests.sshd import Sshd

from .injection import Injected

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@dataclass(frozen=True)
class Hypervisor:
    """An ssh server on this machine.

    :param keys: the directory with its keys, and another one that it does not have.
    """

    server: Sshd
    keys: pathlib.Path

    def known_as(self, key: str) -> str:
        """Return a line for known hosts that gives this server a key."""
        kind, public = (self.keys / f"{key}.pub").read_text(encoding="ascii").split()[:2]
        return f"[127.0.0.1]:{self.server.port} {kind} {public}"

    def connect(self, directory: pathlib.Path, known_hosts: str) -> str:
        """Let virsh connect with a credential, to libvirt's driver for tests, and return what it prints."""
        inputs = {
            "libvirt_uri": f"test+libssh://root@127.0.0.1:{self.server.port}/default",
            "ssh_key": self.server.key.read_text(encoding="ascii"),
            "known_hosts": known_hosts,
        }
        # The job's container has the directory as /runner.
        uri = Injected(directory, inputs).environment["LIBVIRT_DEFAULT_URI"].replace("/runner", str(directory))
        result = subprocess.run(
            ["virsh", "hostname"],
            env={**os.environ, "LIBVIRT_DEFAULT_URI": uri, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
            start_new_session=True,
        )
        return result.stdout

    def accepted(self) -> bool:
        """Return whether the server accepted a key."""
        return "Accepted publickey for root" in self.server.log.read_text(encoding="utf-8")


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(tmp_path: pathlib.Path) -> Iterator[Hypervisor]:
    """Run an ssh server that one key opens. Only this machine can reach it."""
    keys = tmp_path / "keys"
    keys.mkdir()
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / "other")]
    subprocess.run(command, check=True, timeout=30)
    with Sshd(keys) as server:
        yield Hypervisor(server, keys)


def test_key_opens_a_known_hypervisor(hypervisor: Hypervisor, tmp_path: pathlib.Path) -> None:
    output = hypervisor.connect(tmp_path, hypervisor.known_as("host"))
    # Whether a libvirt daemon runs on this machine is another question.
    assert hypervisor.accepted(), output


def test_another_host_key_is_refused(hypervisor: Hypervisor, tmp_path: pathlib.Path) -> None:
    output = hypervisor.connect(tmp_path, hypervisor.known_as("other"))
    assert "HOST KEY VERIFICATION FAILED" in output
    assert not hypervisor.accepted()


def test_unknown_hypervisor_is_refused(hypervisor: Hypervisor, tmp_path: pathlib.Path) -> None:
    output = hypervisor.connect(tmp_path, hypervisor.known_as("host").replace("127.0.0.1", "127.0.0.2"))
    assert "was not accepted" in output
    assert not hypervisor.accepted()
