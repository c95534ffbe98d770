# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pass a command to the human monitor of a QEMU, through its QMP socket.

Usage: ``monitor.py SOCKET WORD...``
"""

from __future__ import annotations

import json
import socket
import sys

if __name__ == "__main__":
    path, *words = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rw", encoding="utf-8") as stream:
        client.connect(path)
        stream.readline()  # QEMU's greeting
        for request in (
            {"execute": "qmp_capabilities"},
            {"execute": "human-monitor-command", "arguments": {"command-line": " ".join(words)}},
        ):
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            reply = json.loads(stream.readline())
            # Events arrive in between, as the machine stops and resumes.
            while "event" in reply:
                reply = json.loads(stream.readline())
    # The monitor prints nothing on success.
    if reply.get("return") != "":
        sys.exit(f"{' '.join(words)}: {reply}")
