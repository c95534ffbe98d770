# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where processes of this user leave things for one another, until the machine is started anew."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile

from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable


def runtime_directory() -> str:
    """A directory of this user's own, as another one's could be made to wait or to follow links.

    :raises EndpointUnavailable: it cannot be made, or is something else.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = os.path.join(base, f"netless-qga-{os.geteuid()}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as exc:
        raise EndpointUnavailable(f"cannot make the directory for locks, {path}: {exc.strerror}") from exc
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EndpointUnavailable(f"{path} has to be a directory of this user, for locks; it is something else")
    return path


def runtime_path(name: str, suffix: str) -> str:
    """Return the path of a file in :func:`runtime_directory` that belongs to a name of any length and characters.

    :param name: what the file belongs to, like an endpoint. It is hashed.
    :param suffix: what kind of file it is, like ``lock``.
    :raises EndpointUnavailable: the directory cannot be made, or is something else.
    """
    return os.path.join(runtime_directory(), f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.{suffix}")
