# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Payloads as Ansible gives them to a Python in the guest, whose module does what the parameters ask for."""

from __future__ import annotations

import base64
import functools
import io
import typing as t
import zipfile

_PROGRAM = """\
#!/usr/bin/python3
_ANSIBALLZ_WRAPPER = True
if __name__ == "__main__":
    _ansiballz_main(
ansible_module='ansible.builtin.simulated',
module_fqn='ansible.modules.simulated',
profile='legacy',
date_time=datetime.datetime(2026, 1, 1, 0, 0, 0, 0),
rlimit_nofile=0,
params={parameters!r},
extensions={{}},
zip_data='{archive}',
)
"""


def make_payload(parameters: dict[str, t.Any], variant: int) -> bytes:
    """Return a payload.

    :param parameters: what the module gets.
    :param variant: which zip it has.
    """
    return _PROGRAM.format(parameters=parameters, archive=_archive(variant)).encode()


@functools.cache
def _archive(variant: int) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # Without a date of today and compression, so that it has the same bytes on every day and with every Python.
        archive.writestr(zipfile.ZipInfo("ansible/modules/simulated.py"), f"VARIANT = {variant}\n")
    return base64.b64encode(buffer.getvalue()).decode()
