# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Payloads like those of ansible-core, small enough that tests can run many of them."""

from __future__ import annotations

import base64
import io
import os
import sys
import zipfile

PYTHON = os.path.realpath(sys.executable)

# What core's wrapper does that matters here: the zip is a file while the module runs as __main__.
WRAPPER = """#!/usr/bin/python3
from __future__ import annotations
import datetime
_ANSIBALLZ_WRAPPER = True
def _ansiballz_main(zip_data, ansible_module, module_fqn, params, profile, date_time, rlimit_nofile, extensions):
    import base64, os, runpy, shutil, sys, tempfile
    sys.path = [path for path in sys.path if path not in ("", ".")]
    directory = tempfile.mkdtemp(prefix="ansible_" + ansible_module + "_payload_")
    try:
        archive = os.path.join(directory, "ansible_" + ansible_module + "_payload.zip")
        with open(archive, "wb") as file:
            file.write(base64.b64decode(zip_data))
        sys.path.insert(0, archive)
        runpy.run_module(module_fqn, init_globals=dict(PARAMS=params), run_name="__main__", alter_sys=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
"""

# Packages as AnsiballZ makes them, and a library that most modules import.
LIBRARIES = {
    "ansible/__init__.py": "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n",
    "ansible/module_utils/__init__.py": "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n",
    "ansible/module_utils/basic.py": "from ansible.module_utils.text import TEXT\nSEEN = []\n",
    "ansible/module_utils/text.py": "import json\nTEXT = 'text'\nCOUNT = [0]\n",
    "ansible/modules/__init__.py": "",
}


def payload(source: str, *, name: str = "test", params: str = "{}", libraries: dict[str, str] | None = None) -> bytes:
    """Return the payload of a module.

    :param source: the module.
    :param libraries: more members of the zip, and other ones instead of the usual.
    """
    buffer = io.BytesIO()
    members = {**LIBRARIES, **(libraries or {}), f"ansible/modules/{name}.py": source}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    arguments = {
        "ansible_module": f"'{name}'",
        "module_fqn": f"'ansible.modules.{name}'",
        "profile": "'legacy'",
        "date_time": "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)",
        "rlimit_nofile": "0",
        "params": repr(params),
        "extensions": "{}",
        "zip_data": f"'{base64.b64encode(buffer.getvalue()).decode()}'",
    }
    call = "\n".join(f"{key}={value}," for key, value in arguments.items())
    return f'{WRAPPER}\n\nif __name__ == "__main__":\n    _ansiballz_main(\n{call}\n)\n'.encode()
