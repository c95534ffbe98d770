# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run play.yml on a virtual machine, and draw what Ansible prints: ``record_play.py INVENTORY GUEST PICTURE``."""

from __future__ import annotations

import io
import os
import pathlib
import re
import subprocess
import sys

from rich.console import Console
from rich.text import Text

_COLUMNS = 88


def main(inventory: str, guest: str, picture: str) -> None:
    """Run the play, and write the picture.

    :raises subprocess.CalledProcessError: the play failed.
    """
    playbook = pathlib.Path(__file__).with_name("play.yml")
    command = ["ansible-playbook", "--inventory", inventory, "--limit", guest, str(playbook)]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "true", "COLUMNS": str(_COLUMNS)}
    played = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text(f"$ ansible-playbook --inventory hosts.yml {playbook.name}"))
    console.print(Text.from_ansi(played.stdout.rstrip()), soft_wrap=False)
    # The picture needs no download: the reader's own monospaced font does.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="netless.qga"), flags=re.DOTALL)
    pathlib.Path(picture).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
