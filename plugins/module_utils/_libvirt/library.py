# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python library of libvirt, which is imported only where an endpoint needs it."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing


def import_libvirt(endpoint: str) -> t.Any:
    """Return the module ``libvirt``.

    :param endpoint: what needs it, for the message.
    :raises LibraryMissing: it is not installed.
    """
    try:
        import libvirt
    except ImportError as exc:
        raise LibraryMissing(
            f"{endpoint}: the Python library libvirt is missing. Install python3-libvirt of the "
            f"distribution, or libvirt-python from PyPI, for the Python that runs Ansible"
        ) from exc
    return libvirt
