# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Returns all that a module can see of its process and that has to be the same for every task."""

from __future__ import annotations

import grp
import locale
import os
import pwd
import resource
import signal
import socket
import sys
import threading
import time

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule


def address_of(name: str) -> str:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return ""


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def main() -> None:
    module = AnsibleModule({"names": {"type": "list", "elements": "str", "default": []}}, supports_check_mode=True)
    umask = os.umask(0)
    os.umask(umask)
    main_module = sys.modules["__main__"]
    module.exit_json(
        argv_length=len(sys.argv),
        cwd=os.getcwd(),
        dont_write_bytecode=sys.dont_write_bytecode,
        environment=dict(os.environ),
        executable=sys.executable,
        file_limit=resource.getrlimit(resource.RLIMIT_NOFILE),
        filesystem_encoding=sys.getfilesystemencoding(),
        flags=repr(sys.flags),
        globals=sorted(name for name in vars(main_module) if not name.startswith("__")),
        group_names=sorted(entry.gr_name for entry in grp.getgrall()),
        groups=sorted(os.getgroups()),
        hosts={name: address_of(name) for name in module.params["names"]},
        ids=[os.getresuid(), os.getresgid()],
        is_main=__name__,
        locale=locale.setlocale(locale.LC_CTYPE),
        main_file=getattr(main_module, "__file__", None),
        open_descriptors=[number for number in range(3, 64) if is_open(number)],
        patched=hasattr(basic, "hazard") or hasattr(AnsibleModule, "hazard"),
        path=sys.path,
        signals={
            name.name: repr(signal.getsignal(name))
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP)
        },
        stdin=sys.stdin.read(),
        tty=[os.isatty(number) for number in range(3)],
        threads=threading.active_count(),
        timezone=[time.tzname, time.localtime(0).tm_hour],
        umask=umask,
        user_names=sorted(entry.pw_name for entry in pwd.getpwall()),
        warn_options=sys.warnoptions,
    )


if __name__ == "__main__":
    main()
