# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sandboxed guest whose modules run in warm servers, without ansible-playbook around them."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

PYTHON = "/usr/bin/python3"

# Prints the payload of a module of ansible-core, or of the one in a file. A process of its own, because this one has
# imported the collection without ansible-core's loader.
_BUILD = """\
import importlib, json, sys
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
init_plugin_loader([])
built = modify_module(
    module_name=f"ansible.legacy.{sys.argv[1]}",
    module_path=sys.argv[3] or importlib.import_module(f"ansible.modules.{sys.argv[1]}").__file__,
    module_args=json.loads(sys.argv[2]),
    templar=Templar(loader=DataLoader()),
    task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
    module_compression="ZIP_DEFLATED",
)
sys.stdout.buffer.write(built.b_module_data)
"""


def ansiballz(module: str, **arguments: t.Any) -> bytes:
    """Return the payload of a module of ansible-core."""
    return _build(module, arguments, "")


def ansiballz_of(path: pathlib.Path, **arguments: t.Any) -> bytes:
    """Return the payload of the module in a file."""
    return _build(path.stem, arguments, str(path))


def _build(module: str, arguments: dict[str, t.Any], path: str) -> bytes:
    build_payload = [sys.executable, "-c", _BUILD, module, json.dumps(arguments), path]
    return subprocess.run(build_payload, stdout=subprocess.PIPE, check=True).stdout


def command(script: str) -> bytes:
    """Return the payload that runs a shell script."""
    return ansiballz("command", _raw_params=script, _uses_shell=True)


class WarmGuest:
    """A guest with a runner of modules and one of programs."""

    def __init__(self, sandbox: SandboxedAgent) -> None:
        self.sandbox = sandbox
        self.agent = Agent(StreamChannel(parse_connector(sandbox.endpoint)))
        self.files = Files(self.agent)
        self.programs = ProgramRunner(self.agent, self.files)
        self._warm = WarmRunner(sandbox.endpoint, self.agent, self.files, lambda: self.programs)

    def run(self, program: bytes, command_line: str = PYTHON, seconds: float = 120) -> CompletedProcess | None:
        """Run a payload in a warm server."""
        argv = ["/bin/sh", "-c", command_line]
        return self._warm.run(argv, program, key=command_line, deadline=Deadline.after(seconds))

    def result(self, program: bytes, command_line: str = PYTHON) -> dict[str, t.Any]:
        """Return what a module returned from a warm server."""
        completed = self.run(program, command_line)
        assert completed is not None
        return t.cast("dict[str, t.Any]", json.loads(completed.stdout))

    def shell(self, script: str) -> str:
        """Run a script without a server, and return what it wrote."""
        completed = self.programs.run(["/bin/sh", "-c", script], deadline=Deadline.after(60))
        return completed.stdout.decode()

    def left(self) -> str:
        """Return what servers have left: their processes and directories."""
        return self.shell(
            "grep -lx netless-qga /proc/[0-9]*/comm; ls -d /dev/shm/*.warm /run/*.warm /tmp/*.warm 2>&-;"
            "grep -l '[w]hile read -r' /proc/[0-9]*/cmdline; :"
        )

    def wait_until_nothing_is_left(self) -> None:
        """Wait until no server has left anything."""
        end = time.monotonic() + 20
        while left := self.left():
            assert time.monotonic() < end, left
            time.sleep(0.1)
