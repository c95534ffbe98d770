# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password hashes as crypt(3) makes them: what they look like, and whether one belongs to a password."""

from __future__ import annotations

import ctypes
import hmac
import re
import typing as t

# Python had a module for crypt(3) until 3.12. These are the sonames of libxcrypt, and of glibc before it.
_LIBRARIES = ("libcrypt.so.2", "libcrypt.so.1")

# A hash names its method. Hashes without a name are DES, which no distribution uses any more.
_HASH = re.compile(r"[!*]*\$[0-9a-z]+\$[./0-9A-Za-z$=,+-]+\Z")
_LOCKED = re.compile(r"[!*]+\Z")

# The hash comes from the guest, and contains its own cost: up to hours, and any amount of memory. These are the methods
# and costs that take about a second at most: MD5, SHA-2, bcrypt and yescrypt.
_AFFORDABLE = re.compile(
    r"(?:\$1\$|\$[56]\$(?:rounds=[0-9]{1,6}\$|(?!rounds=))|\$2[aby]\$(?:0[4-9]|1[0-2])\$|\$g?y\$j[7-9AB][5T]\$)"
    r"[./0-9A-Za-z$]{1,150}\Z"
)


def is_hash(text: str) -> bool:
    """Check whether a text can be the hash of a password, or the mark of an account without one."""
    return bool(_HASH.match(text) or _LOCKED.match(text))


def is_hash_of(known: str, password: str) -> bool | None:
    """Check whether a hash belongs to a password.

    :param known: the hash. It comes from the guest and is not trusted.
    :returns: None if this host cannot compute the hash.
    """
    crypt = _find_crypt()
    if crypt is None or not _AFFORDABLE.match(known):
        return None
    computed = crypt(password.encode("utf-8"), known.encode("ascii"))
    # For a method that it does not know, crypt returns nothing, or a text that is no hash.
    if not computed or computed.startswith(b"*"):
        return None
    return hmac.compare_digest(computed, known.encode("ascii"))


def _find_crypt() -> t.Callable[[bytes, bytes], bytes | None] | None:
    for name in _LIBRARIES:
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        crypt.restype = ctypes.c_char_p
        return t.cast("t.Callable[[bytes, bytes], bytes | None]", crypt)
    return None
