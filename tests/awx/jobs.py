# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs as AWX runs them: ansible-runner, as a user that no database knows, without a terminal and a home.

AWX packs a job on its control node (``transmit``), runs it on an execution node (``worker``), and reads the events that
come back (``process``).
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from .paths import AWX

_TIMEOUT = 120
_PROGRAMS = pathlib.Path(sys.executable).parent


class Node:
    """An execution node, or a container on it: a user without a name, with a temporary directory of his own.

    :param directory: of the node. The user's home is in it, and belongs to root.
    :param uid: of the user, who is in no group but the one with the same number.
    """

    def __init__(self, directory: pathlib.Path, uid: int) -> None:
        self.uid = uid
        self.home = directory / "home"
        self.temporary = directory / "tmp"
        directory.mkdir(mode=0o755)
        self.home.mkdir(mode=0o555)
        self.temporary.mkdir(mode=0o700)
        os.chown(self.temporary, uid, uid)

    def admit(self, socket_path: str) -> None:
        """Let the user open an agent's socket, as the group of a socket of QEMU does."""
        os.chmod(pathlib.Path(socket_path).parents[1], 0o711)
        os.chmod(pathlib.Path(socket_path).parent, 0o711)
        os.chown(socket_path, 0, self.uid)
        os.chmod(socket_path, 0o660)

    def start(self, program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program of the Python environment as the user, with hardly any environment variables."""
        user = [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.uid}",
            "--clear-groups",
            # The Python environment may be in root's home. This opens nothing for writing, and no socket.
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
            "--no-new-privs",
        ]
        environment = {
            "HOME": str(self.home),
            # ansible-core itself needs a directory. In an image, the entry point of ansible-builder provides a home.
            "ANSIBLE_HOME": str(self.temporary / "ansible"),
            "LANG": "C.UTF-8",
            "PATH": f"{_PROGRAMS}:/usr/bin:/bin",
            "TMPDIR": str(self.temporary),
        }
        command = [*user, str(_PROGRAMS / program), *arguments]
        return subprocess.Popen(command, env=environment, cwd=self.temporary, start_new_session=True, **options)


class Job:
    """One job and its private data directory.

    :param directory: for the job on the control node.
    :param collections: value of ``ANSIBLE_COLLECTIONS_PATH``.
    :param endpoints: of the guests by group and name.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        collections: pathlib.Path,
        endpoints: Mapping[str, Mapping[str, str]],
        playbook: str,
        answers: Mapping[str, Any],
        *options: str,
    ) -> None:
        self.directory = directory
        self._playbook = playbook
        shutil.copytree(AWX / "project", directory / "project")
        (directory / "env").mkdir()
        (directory / "inventory").mkdir()
        # AWX writes the inventory as a program.
        inventory = directory / "inventory" / "hosts"
        inventory.write_text(f"#!/usr/bin/env python3\nprint({json.dumps(_inventory(endpoints))!r})\n", "ascii")
        inventory.chmod(0o700)
        self._write("extravars", answers)
        self._write("settings", {"job_timeout": _TIMEOUT, "idle_timeout": _TIMEOUT})
        variables = {
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_FORCE_COLOR": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        }
        self._write("envvars", variables)
        if options:
            (directory / "env" / "cmdline").write_text(" ".join(options), "ascii")

    def _write(self, name: str, content: object) -> None:
        path = self.directory / "env" / name
        path.write_text(json.dumps(content), "ascii")
        path.chmod(0o600)

    def run(self, node: Node) -> None:
        """Run the job on the machine where it is, without a mesh."""
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, node.uid, node.uid)
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        arguments = ["run", str(self.directory), "--playbook", f"{self._playbook}.yml", "--ident", "1"]
        with node.start("ansible-runner", *arguments, **options) as process:
            self.output = _finish(process)

    def send(self, node: Node) -> Mesh:
        """Start the job on an execution node, and return what is running."""
        return Mesh(self.directory, self._playbook, node)

    @property
    def result(self) -> Result:
        """The result of the job, once it has ended."""
        return Result(self.directory / "artifacts" / "1")


class Mesh:
    """A job on its way: ``transmit | worker | process``."""

    def __init__(self, directory: pathlib.Path, playbook: str, node: Node) -> None:
        runner = str(_PROGRAMS / "ansible-runner")
        ident = ["--ident", "1"]
        transmit = [runner, "transmit", str(directory), "--playbook", f"{playbook}.yml", *ident]
        worker = ["worker", "--private-data-dir", str(node.temporary / "job"), "--delete"]
        self._transmit = subprocess.Popen(transmit, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._worker = node.start(
            "ansible-runner", *worker, stdin=self._transmit.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._process = subprocess.Popen(
            [runner, "process", str(directory), *ident],
            stdin=self._worker.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for process in (self._transmit, self._worker):
            if process.stdout is not None:
                process.stdout.close()

    def wait(self) -> str:
        """Wait until the job has ended, and return what was shown of it."""
        output = _finish(self._process)
        errors = self._worker.communicate(timeout=_TIMEOUT)[1]
        assert self._transmit.wait(_TIMEOUT) == 0
        return output + errors.decode()


class Result:
    """What ansible-runner leaves of a job.

    :param artifacts: its directory.
    """

    def __init__(self, artifacts: pathlib.Path) -> None:
        self.status = (artifacts / "status").read_text("ascii")
        self.output = (artifacts / "stdout").read_text("utf-8")
        events = (json.loads(path.read_text("utf-8")) for path in (artifacts / "job_events").glob("*.json"))
        self.events: list[dict[str, Any]] = sorted(events, key=lambda event: int(event["counter"]))

    @property
    def hosts(self) -> set[str]:
        """The hosts on which tasks were started."""
        return {event["event_data"]["host"] for event in self.events if event["event"] == "runner_on_start"}

    def results(self, task: str) -> dict[str, dict[str, Any]]:
        """Return the results of a task by host."""
        done = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable")
        events = [event["event_data"] for event in self.events if event["event"] in done]
        return {data["host"]: data["res"] for data in events if data["task"] == task}


def _inventory(endpoints: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    variables = {
        name: {"ansible_connection": "netless.qga.guest_agent", "ansible_qga_endpoint": endpoint}
        for guests in endpoints.values()
        for name, endpoint in guests.items()
    }
    # Ansible copies modules for a hypervisor to a directory there, and this one is the machine without a home.
    hypervisor = {"ansible_connection": "local", "ansible_remote_tmp": "$TMPDIR/modules"}
    groups = {group: {"hosts": sorted(guests)} for group, guests in endpoints.items()}
    hostvars = {**variables, "hypervisor": hypervisor}
    return {**groups, "hypervisors": {"hosts": ["hypervisor"]}, "_meta": {"hostvars": hostvars}}


def _finish(process: subprocess.Popen[bytes]) -> str:
    """Wait for a program, and end it and what it has started if it does not end."""
    try:
        return process.communicate(timeout=_TIMEOUT)[0].decode()
    finally:
        if process.poll() is None:
            process.kill()
