# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A spool on this machine, and the shells that fill it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES

# Those that are /bin/sh somewhere, as they are then.
SHELLS = [
    command
    for command in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"], ["mksh"])
    if shutil.which(command[0])
]

NAME = "netless-qga.run.1"


class Spool:
    """A directory in place of the guest's, and the shell that runs the script."""

    def __init__(self, base: pathlib.Path, shell: list[str]) -> None:
        self.base = base
        self.shell = shell

    def script(self, argv: t.Sequence[str], **options: t.Any) -> bytes:
        """The launch script, for this directory."""
        script = launch_script.launch_script(NAME, argv, **options)
        return script.replace(" ".join(BASES).encode(), str(self.base).encode())

    def command(self) -> list[str]:
        """What the agent is asked to run."""
        return [*self.shell, "-c", launch_script.LOADER]

    def launch(
        self,
        argv: t.Sequence[str],
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        **options: t.Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program as the agent would; what it gives is the script's end, not the program's."""
        environment = {"PATH": os.environ["PATH"]} if environment is None else environment
        return subprocess.run(
            self.command(),
            input=self.script(argv, **options) + stdin,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def run(self, argv: t.Sequence[str], stdin: bytes = b"", **options: t.Any) -> tuple[int, bytes, bytes]:
        """The same, and gives what the program did."""
        done = self.launch(argv, stdin, **options)
        assert done.returncode == 0
        told = launch_script.parse_exit_report(done.stdout)
        assert told is not None and told[0] == str(self.base)
        state = launch_script.parse_state(self.read("state"))
        assert state is not None and state[1] == told[1]
        outputs = {kind: self.read(kind) for kind in ("out", "err")}
        assert told[1].streams == tuple(kind for kind, output in outputs.items() if output)
        return told[1].rc, outputs["out"], outputs["err"]

    def read(self, kind: str) -> bytes:
        """A file of the spool."""
        return (self.base / f"{NAME}.{kind}").read_bytes()

    def clear(self) -> None:
        """Makes room for the next run."""
        for path in self.base.iterdir():
            path.unlink()
