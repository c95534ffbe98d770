# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of modules' options that Ansible's argument_spec has no type for."""

from __future__ import annotations

import base64
import binascii

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def decode_base64(option: str, value: str) -> bytes:
    """Return the bytes that an option holds in base64, in which blanks and newlines do not count.

    :param option: the option's name, for the message.
    :raises InvalidRequest: the value is not base64.
    """
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest(f"{option} is not base64") from exc
