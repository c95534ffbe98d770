# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A spool on this machine, and the shells that run the launch script."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES

# The shells that are /bin/sh on some system, started as they are there.
SHELLS = [
    command
    for command in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"], ["mksh"])
    if shutil.which(command[0])
]

NAME = "netless-qga.run.1"


class Spool:
    """A spool in a directory of this machine, and the shell that runs the script."""

    def __init__(self, base: pathlib.Path, shell: list[str]) -> None:
        self.base = base
        self.shell = shell

    def script(self, argv: t.Sequence[str], **options: t.Any) -> bytes:
        """Return the launch script, changed to use this directory."""
        script = launch_script.launch_script(NAME, argv, **options)
        return script.replace(" ".join(BASES).encode(), str(self.base).encode())

    def command(self) -> list[str]:
        """Return the command line that the agent starts."""
        return [*self.shell, "-c", launch_script.LOADER]

    def launch(
        self,
        argv: t.Sequence[str],
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        **options: t.Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as the agent does, and return how the script ended."""
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
        """Run a program, and return its exit status, standard output and standard error."""
        completed = self.launch(argv, stdin, **options)
        assert completed.returncode == 0
        reported = launch_script.parse_exit_report(completed.stdout)
        assert reported is not None and reported[0] == str(self.base)
        state = launch_script.parse_state(self.read("state"))
        assert state is not None and state[1] == reported[1]
        outputs = {kind: self.read(kind) for kind in ("out", "err")}
        assert reported[1].streams == tuple(kind for kind, output in outputs.items() if output)
        return reported[1].rc, outputs["out"], outputs["err"]

    def read(self, kind: str) -> bytes:
        """Return the contents of a file in the spool."""
        return (self.base / f"{NAME}.{kind}").read_bytes()

    def clear(self) -> None:
        """Remove all files of the spool."""
        for path in self.base.iterdir():
            path.unlink()
