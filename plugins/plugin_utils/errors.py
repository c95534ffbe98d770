# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place where this collection's exceptions become Ansible's."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound

from ansible_collections.netless.qga.plugins.module_utils.errors import (
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
)


@contextlib.contextmanager
def ansible_errors() -> t.Iterator[None]:
    """Raise what happens inside as Ansible means it.

    :raises AnsibleConnectionFailure: the host is unreachable: no agent, a lost answer, or not an agent at all.
    :raises AnsibleFileNotFound: a file is not there.
    :raises AnsibleError: the task failed: the agent refused, a program or a file could not be handled, a bad option.
    """
    try:
        yield
    except (Unreachable, OutcomeUnknown, ProtocolViolation) as exc:
        # Ansible shows the messages of a whole chain in one line, and these say all that there is to say.
        raise AnsibleConnectionFailure(str(exc)) from None
    except FileNotFoundError as exc:
        raise AnsibleFileNotFound(str(exc)) from None
    except (QgaError, OSError) as exc:
        raise AnsibleError(str(exc)) from None
