# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression of what goes into the guest, whose gzip unpacks it.

Every byte travels as base64 inside JSON, which the agent parses character by character. That is slower than gzip. What
comes out of the guest is not compressed, since compressing it there costs more than it saves.
"""

from __future__ import annotations

import zlib

# The fastest level: base64 of contents that are compressed already, like Ansible's modules, gets no smaller at others.
_LEVEL = 1

# zlib's notation for the gzip format.
_GZIP = 31

_SAMPLE = 64 * 1024

#: How many bytes compression has to save so that starting a gzip in the guest pays, whether the guest is slow or fast.
MIN_SAVING = 256 * 1024

#: What a script prints if it ends because the guest has no gzip.
NO_GZIP = "no gzip"

#: A shell script that ends the script around it if the guest has no gzip. It reads standard input to its end first: an
#: agent must not be left with a full pipe that has no reader.
CHECK_GZIP = f'command -v gzip >/dev/null||{{ cat >/dev/null;echo "{NO_GZIP}";exit 0;}}'


def compress(data: bytes) -> bytes:
    """Return the data in the format that ``gzip -dc`` unpacks."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(data) + compressor.flush()


def saving(data: bytes) -> int:
    """Return how many bytes compression will save, estimated from the beginning of the data."""
    sample = data[:_SAMPLE]
    return (len(sample) - len(compress(sample))) * len(data) // max(1, len(sample))
