# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Ansible controller that can reach one sandboxed guest and change nothing of this machine."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.tests.guests import trees
from ansible_collections.netless.qga.tests.guests.core_source import core_source
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

_HERE = pathlib.Path(__file__).resolve().parent
_NAMESPACES = ("--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
_INVENTORY = """[testgroup]
testhost ansible_connection=netless.qga.guest_agent ansible_qga_endpoint=unix:/mnt/channel/agent.sock
[testgroup:vars]
ansible_python_interpreter=/usr/bin/python3
"""
TIMED_OUT = 124
"""The status of a run that took too long, as that of timeout(1)."""
_TARGETS = pathlib.PurePath("test", "integration", "targets")
"""Where ansible-core keeps its integration test targets."""
_WARM = re.compile(r"> WARM ([\w.]+)(?:, in a new server)?$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one run printed and recorded.

    :param records: one line of JSON for each result, in the order in which Ansible reported them.
    :param warm_modules: the modules that kept interpreters ran, as the connection logged them.
    """

    status: int
    output: str
    records: tuple[str, ...]
    warm_modules: tuple[str, ...]


class Controller:
    """A directory for one run of Ansible on one guest.

    :param warm: whether the connection may run tasks in a kept interpreter.
    """

    def __init__(self, guest: SandboxedAgent, work: pathlib.Path, *, warm: bool) -> None:
        self._guest = guest
        self._work = work
        self._warm = warm

    def run_target(self, target: str, timeout: float) -> Run:
        """Run one of ansible-core's integration test targets as ansible-test runs it.

        :param timeout: seconds, after which it is ended.
        """
        integration = self._work / _TARGETS.parent
        self._copy_target(target)
        (integration / "inventory").write_text(_INVENTORY, encoding="utf-8")
        directory = integration / "targets" / target
        collections = [f"/mnt/{_TARGETS}/{path.parent.name}" for path in directory.parent.glob("*/ansible_collections")]
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(["/mnt/collections", *sorted(collections)]),
            "INVENTORY_PATH": f"/mnt/{_TARGETS.parent}/inventory",
            "OUTPUT_DIR": "/mnt/output",
        }
        aliases = (directory / "aliases").read_text(encoding="utf-8").split()
        for alias in aliases:
            if alias.startswith("env/set/"):
                dummy, dummy, name, value = alias.split("/", 3)
                environment[name] = value
        if (directory / "runme.sh").exists():
            return self._run(["./runme.sh"], f"/mnt/{_TARGETS}/{target}", environment, timeout)
        gather_facts = "no" if "gather_facts/no" in aliases else "yes"
        playbook = f"- hosts: testhost\n  gather_facts: {gather_facts}\n  vars: {{output_dir: /mnt/output}}\n"
        (integration / f"{target}.yml").write_text(f"{playbook}  roles: [{target}]\n", encoding="utf-8")
        environment["ANSIBLE_ROLES_PATH"] = f"/mnt/{_TARGETS}"
        command = ["ansible-playbook", f"{target}.yml", "-i", "inventory"]
        return self._run(command, f"/mnt/{_TARGETS.parent}", environment, timeout)

    def run_playbooks(self, directory: pathlib.Path, playbooks: t.Sequence[str], timeout: float) -> Run:
        """Run playbooks of our own one after the other, each in a process of its own.

        :param playbooks: paths in ``directory``.
        :param timeout: seconds, after which they are ended.
        """
        shutil.copytree(directory, self._work / "playbooks")
        (self._work / "inventory").write_text(_INVENTORY, encoding="utf-8")
        passwords = {"bobs_password": trees.SUDO_PASSWORD_USER_PASSWORD, "roots_password": trees.ROOT_PASSWORD}
        (self._work / "passwords.json").write_text(json.dumps(passwords), encoding="utf-8")
        each = 'for playbook; do ansible-playbook "$playbook" -i /mnt/inventory -e @/mnt/passwords.json; done'
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": "/mnt/collections:/mnt/playbooks/collections",
            "ANSIBLE_DISPLAY_TRACEBACK": "error",
        }
        return self._run(["sh", "-euc", each, "sh", *playbooks], "/mnt/playbooks", environment, timeout)

    def _copy_target(self, target: str) -> None:
        # Targets write to their own directories, and read those of others.
        source = core_source() / _TARGETS
        (self._work / _TARGETS).mkdir(parents=True)
        for path in source.iterdir():
            if path.name == target:
                shutil.copytree(path, self._work / _TARGETS / target, symlinks=True)
            else:
                (self._work / _TARGETS / path.name).symlink_to(path)

    def _prepare_guest(self) -> None:
        """Create what is there on the machines that ansible-core is tested on."""
        root = pathlib.Path(f"/proc/{self._guest.pid}/root")
        # Some targets use one directory on both sides.
        (root / "mnt/output").mkdir()
        (root / "root/.ssh").mkdir(mode=0o700)
        (root / "root/.ssh/authorized_keys").touch(mode=0o600)

    def _run(self, command: list[str], directory: str, environment: t.Mapping[str, str], timeout: float) -> Run:
        collection = _HERE.parent.parent
        (self._work / "output").mkdir()
        (self._work / "ansible.cfg").touch()
        self._prepare_guest()
        shutil.copytree(_HERE / "callback", self._work / "callback")
        channel = os.path.dirname(self._guest.socket_path)
        # setpriv ends it with the thread that started it, also when this process is killed.
        isolated: list[str | os.PathLike[str]] = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            *_NAMESPACES,
            _HERE / "controller.sh",
            self._work,
            channel,
            collection,
        ]
        with open(self._work / "output.log", "w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                [*isolated, "env", "--chdir", directory, *command],
                env={**self._environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                status = TIMED_OUT
            finally:
                _end(process)
            log.seek(0)
            output = log.read()
        records = self._work / "records"
        lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
        log_file = self._work / "ansible.log"
        logged = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
        return Run(status, output, tuple(lines), tuple(_WARM.findall(logged)))

    def _environment(self) -> dict[str, str]:
        """Return the variables that ansible-test sets, and ours."""
        return {
            "ANSIBLE_CALLBACKS_ENABLED": "task_results",
            "ANSIBLE_CALLBACK_PLUGINS": "/mnt/callback",
            "ANSIBLE_COLLECTIONS_PATH": "/mnt/collections",
            "ANSIBLE_CONFIG": "/mnt/ansible.cfg",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
            "ANSIBLE_DEVEL_WARNING": "false",
            "ANSIBLE_FORCE_HANDLERS": "true",
            "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
            "ANSIBLE_INVENTORY": "/dev/null",
            "ANSIBLE_LIBRARY": "/dev/null",
            "ANSIBLE_LOG_PATH": "/mnt/ansible.log",
            "ANSIBLE_LOG_VERBOSITY": "3",
            "ANSIBLE_PYTHON_MODULE_RLIMIT_NOFILE": "1024",
            "ANSIBLE_QGA_WARM": str(self._warm).lower(),
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "PAGER": "/bin/cat",
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
            "PYTHONPATH": "",
            "TASK_RESULTS": "/mnt/records",
            "TMPDIR": "/mnt/tmp",
            "XDG_RUNTIME_DIR": "/mnt/tmp",
        }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that unshare runs as the first process of a namespace, and all others in there.

    The wait for the first one takes until all have ended. With unshare itself, they would end a little later.
    """
    if process.poll() is None:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        for child in children.split() or [str(process.pid)]:
            os.kill(int(child), signal.SIGKILL)
        process.wait()
