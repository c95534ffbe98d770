# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program as a user wants it run in the guest: where, with which environment, and on which conditions."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import SHELL
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, ProcessError, excerpt

# Exit statuses of the next that no shell has of its own.
_CANNOT_ENTER = 103
_IS_CREATED = 104
_IS_REMOVED = 105

# Given a directory and two patterns. With IFS empty a pattern is expanded and not split, as blanks may be in names.
_CONDITIONS = f"""\
[ -z "$1" ]||cd "$1"||exit {_CANNOT_ENTER}
IFS=
there(){{ for f in $1;do [ ! -e "$f" ]&&[ ! -L "$f" ]||return 0;done;return 1;}}
[ -z "$2" ]||! there "$2"||exit {_IS_CREATED}
[ -z "$3" ]||there "$3"||exit {_IS_REMOVED}"""

# What every shell can export.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Invocation:
    """A program to run.

    :param argv: the program and its arguments.
    :param directory: to run it in; by default the home directory of whom the agent runs as.
    :param environment: in addition to what there is.
    :param creates: a pattern of paths. If there is one, the program is not run.
    :param removes: a pattern of paths. If there is none, it is not run either.
    :raises InvalidRequest: something of it cannot be.
    """

    argv: t.Sequence[str]
    directory: str = ""
    environment: t.Mapping[str, str] = field(default_factory=dict)
    creates: str = ""
    removes: str = ""

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise InvalidRequest("there is no program to run")
        for name in self.environment:
            if not _NAME.match(name):
                raise InvalidRequest(f"no environment variable can have the name {excerpt(name)!r}")

    @property
    def is_conditional(self) -> bool:
        """Whether it depends on the guest whether the program is to be run."""
        return bool(self.creates or self.removes)

    def reason_to_skip(self, runner: ProgramRunner, deadline: Deadline) -> str:
        """Why the program is not to be run; empty if it is.

        :raises ProcessError: the directory cannot be entered, or the shell cannot tell.
        """
        if not (self.is_conditional or self.directory):
            return ""
        script = [SHELL, "-c", _CONDITIONS, "sh", self._entered, self.creates, self.removes]
        found = runner.run(script, deadline=deadline)
        said = excerpt(found.stderr.decode("utf-8", errors="replace"))
        if found.rc == _CANNOT_ENTER:
            raise ProcessError(f"the directory {self.directory} in the guest cannot be entered: {said}")
        reasons = {0: "", _IS_CREATED: f"{self.creates} exists", _IS_REMOVED: f"{self.removes} does not exist"}
        if found.rc not in reasons:
            raise ProcessError(f"the guest's shell cannot tell whether the program is to be run: {said}")
        return reasons[found.rc]

    def run(self, runner: ProgramRunner, stdin: bytes, deadline: Deadline) -> CompletedProcess:
        """Run the program, whatever the conditions are. See :meth:`ProgramRunner.run`."""
        return runner.run(self._command(), stdin=stdin, deadline=deadline)

    @property
    def _entered(self) -> str:
        # So that it is a directory's name to `cd` whatever it begins with, and CDPATH does not matter.
        return self.directory if not self.directory or self.directory.startswith("/") else f"./{self.directory}"

    def _command(self) -> list[str]:
        script = [f'export {name}="$1";shift' for name in self.environment]
        arguments = list(self.environment.values())
        if self.directory:
            script.append('cd "$1"||exit;shift')
            arguments.append(self._entered)
        if not script:
            return list(self.argv)
        return [SHELL, "-c", ";".join([*script, 'exec "$@"']), "sh", *arguments, *self.argv]
