# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contents that are compressed on their way into the guest, whose gzip unpacks them.

Every byte is base64 inside of JSON, which the agent takes apart character by character: that is slower than gzip is.
What comes out of the guest is not compressed, since there packing costs more than it saves.
"""

from __future__ import annotations

import zlib

# Of speed and size, speed: base64 of something compressed, as Ansible's modules are, gets no smaller at other levels.
_LEVEL = 1

# zlib's notation for the format of gzip.
_GZIP = 31

_SAMPLE = 64 * 1024

#: From how many bytes saved on it is faster to start a gzip in the guest than to send them, be that slow or fast.
MIN_SAVING = 256 * 1024

#: What a script says that ends because of the next.
NO_GZIP = "no gzip"

#: Ends a script where there is no gzip.
CHECK_GZIP = f'command -v gzip >/dev/null||{{ echo "{NO_GZIP}";exit 0;}}'


def compress(data: bytes) -> bytes:
    """The data as ``gzip -dc`` takes it."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(data) + packer.flush()


def saving(data: bytes) -> int:
    """How many bytes packing is going to save, going by the beginning of the data."""
    sample = data[:_SAMPLE]
    return (len(sample) - len(compress(sample))) * len(data) // max(1, len(sample))
