# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Ansible controller whose plays run in one guest, with connection processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels import address
from ansible_collections.netless.qga.tests.guests.connection_processes import pids, wait_until

_ROOT = pathlib.Path(address.__file__).parents[6]

# Of a play, also on an emulated machine that is busy.
_TIMEOUT = 600

Task = t.Mapping[str, t.Any]


def play_environment(directory: pathlib.Path, **settings: str) -> dict[str, str]:
    """Return the environment variables of a play that uses this collection and writes to one directory only.

    :param settings: more variables.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "QGA_"))}
    return {
        **inherited,
        "ANSIBLE_COLLECTIONS_PATH": str(_ROOT),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "LC_ALL": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(directory),
        **settings,
    }


class Controller:
    """Plays of one user, with a runtime directory of their own.

    :param directory: for the playbooks, and for the sockets of connection processes.
    :param endpoint: of the guest.
    """

    def __init__(self, directory: pathlib.Path, endpoint: str) -> None:
        self.directory = directory
        self._variables = {
            "ansible_connection": "netless.qga.guest_agent",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_qga_endpoint": endpoint,
        }

    @contextlib.contextmanager
    def start(self, *tasks: Task, verbosity: int = 0, **variables: t.Any) -> t.Iterator[subprocess.Popen[str]]:
        """Start a play, wait for its end when the block ends, and kill it if the block raises an error.

        :param verbosity: of Ansible, which also keeps a log and a cache of facts in the directory.
        """
        playbook = self.directory / "play.json"
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks, "vars": {**self._variables, **variables}}
        playbook.write_text(json.dumps([play]), encoding="ascii")
        environment = play_environment(
            self.directory,
            ANSIBLE_CACHE_PLUGIN="ansible.builtin.jsonfile",
            ANSIBLE_CACHE_PLUGIN_CONNECTION=str(self.directory / "facts"),
            ANSIBLE_LOG_PATH=str(self.directory / "log"),
            ANSIBLE_VERBOSITY=str(verbosity),
            # Other tests look at what is in the same guest.
            ANSIBLE_QGA_WARM="false",
        )
        with subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", "-i", "guest,", str(playbook)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def run(self, *tasks: Task, verbosity: int = 0, **variables: t.Any) -> str:
        """Run a play to its end, which has to be a good one, and return its output."""
        with self.start(*tasks, verbosity=verbosity, **variables) as play:
            output = play.communicate(timeout=_TIMEOUT)[0]
        assert play.returncode == 0, output
        return output

    def processes(self) -> list[int]:
        """Return the process IDs of the connection processes."""
        return pids(self.directory)

    def sockets(self) -> list[pathlib.Path]:
        """Return the sockets of the connection processes."""
        return list(self.directory.glob("netless-qga-*/*.sock"))


def wait_for_program(controller: Controller, command: str) -> None:
    """Wait until a program runs in the guest, which is a sandbox on this machine."""

    wait_until(lambda: is_running(command), 60)
    time.sleep(0.5)
    assert controller.processes()


def is_running(command: str) -> bool:
    """Return whether a program runs, on this machine or in a sandbox."""
    return any(_read_command(entry) == command for entry in os.listdir("/proc") if entry.isdigit())


def _read_command(pid: str) -> str:
    """Return the command line of a process, an empty string if it has ended."""
    try:
        return (
            pathlib.Path("/proc", pid, "cmdline")
            .read_text(encoding="utf-8", errors="replace")
            .replace("\0", " ")
            .strip()
        )
    except OSError:
        return ""
