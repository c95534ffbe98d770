# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding out whether virtual machines can use KVM here.

A /dev/kvm that opens proves little, for example in a virtual machine whose nesting is broken. Only a kernel that runs
proves it.
"""

from __future__ import annotations

import pathlib
import subprocess
from typing import Literal

Accelerator = Literal["kvm", "tcg"]

_PROBE_TIMEOUT = 15.0


def accelerator(kernel: pathlib.Path, known: pathlib.Path) -> Accelerator:
    """Return what to run ``kernel`` with.

    :param known: file that keeps the answer as long as this machine is up, since finding out may take 15 seconds.
    """
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    try:
        before, dummy, answer = known.read_text(encoding="ascii").rpartition("\n")
    except FileNotFoundError:
        before = answer = ""
    if before != boot.rstrip():
        answer = "kvm" if _boots_with_kvm(kernel) else "tcg"
        known.write_text(boot + answer, encoding="ascii")
    return "kvm" if answer == "kvm" else "tcg"


def _boots_with_kvm(kernel: pathlib.Path) -> bool:
    # Without a root filesystem a kernel that has booted panics, and panic=-1 then resets the machine at once.
    command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "max", "-m", "256", "-nodefaults", "-display", "none"]
    command += ["-no-reboot", "-kernel", str(kernel), "-append", "panic=-1"]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=_PROBE_TIMEOUT).returncode == 0
    except subprocess.TimeoutExpired:
        return False
