# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends in one of the ways in which modules end without a result."""

from __future__ import annotations

import os
import signal
import sys

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule({"how": {"type": "str", "required": True}})
    how = module.params["how"]
    if how == "exception":
        raise ValueError("a module's own error, with äöü")
    if how == "exit without a result":
        sys.exit(5)
    if how == "exit at once":
        os._exit(6)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "aborted":
        os.abort()
    if how == "return":
        return
    if how == "no memory":
        raise MemoryError
    if how == "more than a result":
        print("before")
        print("to stderr", file=sys.stderr)
        sys.stdout.flush()
    module.exit_json(how=how)


if __name__ == "__main__":
    main()
