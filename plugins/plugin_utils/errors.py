# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place where this collection's exceptions become Ansible's, as a table."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.errors import (
    AnsibleAuthenticationFailure,
    AnsibleConnectionFailure,
    AnsibleError,
    AnsibleFileNotFound,
)

from ansible_collections.netless.qga.plugins.module_utils.errors import (
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
    WrongUser,
)

#: What each exception becomes; the first row that matches counts. Unreachable hosts are connection failures.
_ANSIBLE_ERRORS: tuple[tuple[type[Exception], type[AnsibleError]], ...] = (
    (Unreachable, AnsibleConnectionFailure),
    (OutcomeUnknown, AnsibleConnectionFailure),
    (ProtocolViolation, AnsibleConnectionFailure),
    # As over ssh: a user that cannot log in is not a failure of the task.
    (WrongUser, AnsibleAuthenticationFailure),
    (QgaError, AnsibleError),
    (FileNotFoundError, AnsibleFileNotFound),
    (OSError, AnsibleError),
)


@contextlib.contextmanager
def ansible_errors() -> t.Iterator[None]:
    """Raise the exceptions of the block as Ansible's.

    :raises AnsibleConnectionFailure: the host is unreachable: no agent, a lost answer, or not an agent.
    :raises AnsibleAuthenticationFailure: the host is unreachable as this user: the agent runs as another one.
    :raises AnsibleFileNotFound: a file does not exist.
    :raises AnsibleError: the task failed: the agent refused, a program or a file could not be handled, a bad option.
    """
    try:
        yield
    except (QgaError, OSError) as exc:
        becomes = next((becomes for kind, becomes in _ANSIBLE_ERRORS if isinstance(exc, kind)), AnsibleError)
        # Ansible joins the messages of a whole chain into one line, and ours need no cause.
        raise becomes(str(exc)) from None
