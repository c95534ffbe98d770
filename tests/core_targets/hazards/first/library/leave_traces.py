# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes whatever a module can change in its process, so that the next task would notice if it shared the process."""

from __future__ import annotations

import locale
import os
import resource
import signal
import sys
import threading
import time

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule({})
    os.chdir("/usr")
    os.umask(0o007)
    os.environ["HAZARD"] = "left"
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    locale.setlocale(locale.LC_ALL, "C")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
    for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.path.insert(0, "/hazard")
    sys.argv.append("hazard")
    basic.hazard = AnsibleModule.hazard = True  # type: ignore[attr-defined]
    basic._ANSIBLE_ARGS = b"{}"
    threading.Thread(target=time.sleep, args=(0.1,)).start()
    os.dup2(1, 50)
    module.exit_json()


if __name__ == "__main__":
    main()
