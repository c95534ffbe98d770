# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program as the user wants it to run in the guest: where, with which environment, and on which conditions."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import SHELL
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, ProcessError, excerpt

# Exit statuses of the script below that no shell uses for anything else.
_CANNOT_ENTER = 103
_IS_CREATED = 104
_IS_REMOVED = 105

# Takes a directory and two patterns. IFS is empty so that the shell expands a pattern and does not split it: names may
# have blanks in them.
_CONDITIONS = f"""\
[ -z "$1" ]||cd "$1"||exit {_CANNOT_ENTER}
IFS=
there(){{ for f in $1;do [ ! -e "$f" ]&&[ ! -L "$f" ]||return 0;done;return 1;}}
[ -z "$2" ]||! there "$2"||exit {_IS_CREATED}
[ -z "$3" ]||there "$3"||exit {_IS_REMOVED}"""

# The names that every shell can export.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Invocation:
    """A program to run.

    :param argv: the program and its arguments.
    :param directory: the directory to run it in; by default the home directory of the user that the agent runs as.
    :param environment: variables to add to the agent's environment, as text or numbers.
    :param creates: a pattern of paths. If any exists, the program is not run.
    :param removes: a pattern of paths. If none exists, the program is not run.
    :raises InvalidRequest: there is no program, or a variable is invalid.
    """

    argv: t.Sequence[str]
    directory: str = ""
    environment: t.Mapping[str, t.Any] = field(default_factory=dict)
    creates: str = ""
    removes: str = ""

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise InvalidRequest("there is no program to run")
        for name, value in self.environment.items():
            if not _NAME.match(name):
                raise InvalidRequest(f"no environment variable can have the name {excerpt(name)!r}")
            if not isinstance(value, (str, int, float)):
                raise InvalidRequest(f"env: the value of {name} is neither text nor a number")

    @property
    def is_conditional(self) -> bool:
        """Whether the guest's files decide if the program is run."""
        return bool(self.creates or self.removes)

    def reason_to_skip(self, runner: ProgramRunner, deadline: Deadline) -> str:
        """Return why the program must not be run; empty if it must be.

        :raises ProcessError: the directory cannot be entered, or the shell cannot check the conditions.
        """
        if not (self.is_conditional or self.directory):
            return ""
        script = [SHELL, "-c", _CONDITIONS, "sh", self._cd_operand, self.creates, self.removes]
        completed = runner.run(script, deadline=deadline)
        error_text = excerpt(completed.stderr.decode("utf-8", errors="replace"))
        if completed.rc == _CANNOT_ENTER:
            raise ProcessError(f"the directory {self.directory} in the guest cannot be entered: {error_text}")
        reasons = {0: "", _IS_CREATED: f"{self.creates} exists", _IS_REMOVED: f"{self.removes} does not exist"}
        if completed.rc not in reasons:
            raise ProcessError(f"the guest's shell cannot check creates and removes: {error_text}")
        return reasons[completed.rc]

    def run(self, runner: ProgramRunner, stdin: bytes, deadline: Deadline) -> CompletedProcess:
        """Run the program, whatever its conditions are. See :meth:`ProgramRunner.run`."""
        return runner.run(self._command(), stdin=stdin, deadline=deadline)

    @property
    def _cd_operand(self) -> str:
        # `cd` takes neither an option nor a directory of CDPATH for a name that begins like this.
        return self.directory if not self.directory or self.directory.startswith("/") else f"./{self.directory}"

    def _command(self) -> list[str]:
        script = [f'export {name}="$1";shift' for name in self.environment]
        arguments = [str(value) for value in self.environment.values()]
        if self.directory:
            script.append('cd "$1"||exit;shift')
            arguments.append(self._cd_operand)
        if not script:
            return list(self.argv)
        return [SHELL, "-c", ";".join([*script, 'exec "$@"']), "sh", *arguments, *self.argv]
