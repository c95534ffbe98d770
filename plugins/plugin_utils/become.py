# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Privilege escalation that asks for a password: when to send it, and how to find out whether it worked."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess

if t.TYPE_CHECKING:
    from ansible.plugins.become import BecomeBase


class Escalation:
    """One command that runs through a become plugin.

    Its :meth:`answer` is a :data:`~._guest.programs.prompts.PromptHandler`. It sends the password once, when the
    program asks for it, and never after the success message, because the module would read the password then.

    :param become: the plugin, which has built the command.
    :param timeout: seconds within which the escalation has to succeed.
    """

    def __init__(self, become: BecomeBase, timeout: float) -> None:
        self._become = become
        self._timeout = timeout
        self._deadline: Deadline | None = None
        self._given = False
        self._seen = (0, 0)

    @property
    def asks(self) -> bool:
        """Whether the program may ask for a password, and there is one to send."""
        return self._become.expect_prompt()

    def without_random_text(self, text: str) -> str:
        """Return a text with the password in place of what the plugin makes up for each command."""
        password = self._become.get_option("become_pass") or ""
        return text.replace(self._become.success.rpartition("-")[2], f"\0{password}\0")

    def answer(self, stdout: bytes, stderr: bytes) -> bytes | None:
        """Return what to send to the program.

        :param stdout: what it has written to standard output so far.
        :param stderr: what it has written to standard error so far.
        :returns: the password, an empty text once no more input is needed, or None to wait for more output.
        :raises AnsibleError: the password is wrong.
        :raises AnsibleConnectionFailure: it neither asked for the password nor succeeded in time.
        """
        self._deadline = self._deadline or Deadline.after(self._timeout)
        if self._become.check_success(stdout):
            return b""
        self._refuse_wrong_password(stdout, stderr)
        if any(self._become.check_password_prompt(new) for new in (stdout[self._seen[0] :], stderr[self._seen[1] :])):
            if self._given:
                raise AnsibleError(f"Incorrect {self._become.name} password")
            self._given = True
            self._seen = (len(stdout), len(stderr))
            password: str = self._become.get_option("become_pass")
            return password.encode("utf-8", errors="surrogateescape") + b"\n"
        if self._deadline.passed:
            missing = "" if self._given else " or become password prompt"
            raise AnsibleConnectionFailure(f"Timed out waiting for become success{missing}.")
        return None

    def finish(self, result: CompletedProcess) -> CompletedProcess:
        """Return the result of the command itself, without the output of the escalation.

        :raises AnsibleError: the escalation failed because the password is missing or wrong.
        """
        if self._become.check_success(result.stdout):
            stdout = self._become.strip_become_success(self._become.strip_become_prompt(result.stdout))
            return CompletedProcess(result.rc, stdout, self._become.strip_become_prompt(result.stderr))
        if result.rc == 0:
            # A refused escalation does not exit with 0, so the command itself wrote this text.
            return result
        self._refuse_wrong_password(result.stdout, result.stderr)
        if self._become.check_missing_password(result.stdout + result.stderr):
            raise AnsibleError(f"Missing {self._become.name} password")
        return result

    def _refuse_wrong_password(self, stdout: bytes, stderr: bytes) -> None:
        if self._become.check_incorrect_password(stdout + stderr):
            raise AnsibleError(f"Incorrect {self._become.name} password")
