# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directory where the processes of this user leave files for one another, until the machine restarts."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile

from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable


def runtime_directory() -> str:
    """Return a directory that belongs to this user, and create it if needed.

    In a directory of another user, that user could make us wait for a lock or follow a symbolic link.

    :raises EndpointUnavailable: it cannot be created, or is not a directory of this user.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = os.path.join(base, f"netless-qga-{os.geteuid()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as exc:
        raise EndpointUnavailable(f"cannot create the directory for locks, {path}: {exc.strerror}") from exc
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EndpointUnavailable(f"{path} has to be a directory of this user, for locks, and is not")
    return path


def runtime_path(name: str, suffix: str) -> str:
    """Return the path of a file in :func:`runtime_directory` that belongs to a name of any length and characters.

    :param name: what the file belongs to, like an endpoint. It is hashed.
    :param suffix: what kind of file it is, like ``lock``.
    :raises EndpointUnavailable: the directory cannot be created, or is not a directory of this user.
    """
    return os.path.join(runtime_directory(), f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.{suffix}")
