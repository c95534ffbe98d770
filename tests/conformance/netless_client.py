# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small client that is built on the collection: it runs one command in the guest, with short timeouts.

The published results are those of the ``ansible`` command. This client takes a fraction of a second, so that every
change can be tested with it.
"""

from __future__ import annotations

import sys

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError

_REPLY_TIMEOUT = 5.0
_RUN_TIMEOUT = 30.0


def main(path: str, command: str) -> int:
    """Run a command through the agent on a socket, print its output, and return its exit status."""
    target = Target(Address(f"unix:{path}"), connect_timeout=_REPLY_TIMEOUT, reply_timeout=_REPLY_TIMEOUT, persist=0)
    agent = target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)
    runner = ProgramRunner(agent, Files(agent))
    try:
        completed = runner.run(["sh", "-c", command], deadline=Deadline.after(_RUN_TIMEOUT))
    except QgaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        runner.close()
        agent.close()
    sys.stdout.write(completed.stdout.decode())
    sys.stderr.write(completed.stderr.decode())
    if completed.rc:
        sys.stderr.write(f"exit status {completed.rc}\n")
    return completed.rc


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
