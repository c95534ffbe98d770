# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command while an agent's replies are unread and the agent has received half of another request.

Usage: ``leave_unread.py unix:PATH COMMAND...``
"""

from __future__ import annotations

import socket
import subprocess
import sys

REQUESTS = b'\xff{"execute": "guest-info", "id": 1}{"execute": "guest-ping", "id": 2}{"execute": "guest-pi'

if __name__ == "__main__":
    endpoint, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(endpoint.removeprefix("unix:"))
        # Wait until the agent replies, and read no more than the first byte.
        client.settimeout(60)
        client.sendall(REQUESTS)
        client.recv(1)
        subprocess.run(command, check=True)
