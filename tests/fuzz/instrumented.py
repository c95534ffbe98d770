# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one target in this process, with the collection's own modules instrumented."""

from __future__ import annotations

import sys

import atheris  # pylint: disable=import-error

with atheris.instrument_imports(include=["ansible_collections.netless.qga.plugins"]):
    from .targets import TARGETS


def main() -> None:
    """Hand the arguments after the target's name to libFuzzer, which ends the process."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
