# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command lines that may start a warm server: those in which Ansible gives a module to a Python, and nothing else.

A command line that does more, like a wrapper that limits Python's time, has to run for each module.
"""

from __future__ import annotations

import os
import re
import shlex

# What the innermost shell runs: with the task's environment, quoted as shlex.quote does, and after the success message
# of a become plugin. ansible-core 2.19 and 2.20 append a command that does nothing.
_ASSIGNMENT = r"""[A-Za-z_]\w*=(?:[\w@%+=:,./-]+|(?:'[^']*'|"'")+) """
_PYTHON = r"(?:/[\w.+-]+)+/(?:python|pypy|platform-python)[\w.+-]*"
_INNERMOST = re.compile(rf"(?:echo BECOME-SUCCESS-[a-z]+ ; )?(?:{_ASSIGNMENT})*{_PYTHON}(?: && sleep 0)?\Z", re.ASCII)

# The programs that run a shell as another user and leave alone what it leaves in the background.
_ESCALATIONS = ("doas", "su", "sudo")

# Of shells within shells: Ansible's, su's, and the one with the success message.
_MAX_DEPTH = 4


def is_python_only(argv: list[str]) -> bool:
    """Return whether a command only has a Python read its program from standard input, maybe as another user.

    :param argv: the command, as Ansible builds it for a pipelined module.
    """
    words = argv
    for dummy in range(_MAX_DEPTH):
        if len(words) < 3 or words[-2] != "-c" or not (len(words) == 3 or _is_escalation(words)):
            return False
        inner = words[-1]
        if _INNERMOST.match(inner):
            return True
        try:
            words = shlex.split(inner)
        except ValueError:
            return False
    return False


def _is_escalation(words: list[str]) -> bool:
    return os.path.basename(words[0]) in _ESCALATIONS
