# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user who follows the guide, in a home that was empty."""

from __future__ import annotations

import pathlib
import subprocess
import textwrap

_COLLECTION = "ansible_collections/netless/qga"
_GUIDE = "docs/docsite/rst/getting_started_guide.rst"
_TIMEOUT = 240


class User:
    """A user with a home, and a Python environment with ansible-core.

    :param directory: the home, where the commands run too.
    :param environment: the Python environment.
    """

    def __init__(self, directory: pathlib.Path, environment: pathlib.Path) -> None:
        self.directory = directory
        self._programs = environment / "bin"
        self.collection = directory / ".ansible" / "collections" / _COLLECTION

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of ansible-core, and return what it prints.

        Neither a variable nor a file of this machine names another place for collections.
        """
        command = [str(self._programs / program), *arguments]
        environment = {
            "ANSIBLE_NOCOLOR": "true",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_RUNTIME_DIR": str(self.directory),
        }
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def guide_file(self, name: str) -> str:
        """Return the file that the installed guide shows under a name."""
        lines = (self.collection / _GUIDE).read_text(encoding="utf-8").splitlines()
        start = lines.index(f"   # {name}")
        block = []
        for line in lines[start:]:
            if line and not line.startswith("   "):
                break
            block.append(line)
        return textwrap.dedent("\n".join(block)).strip() + "\n"
