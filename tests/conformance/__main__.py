# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the wire cases against a client: ``python3 -m tests.conformance --client 'COMMAND {endpoint} {command}'``."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping

from .cases import CASES
from .client import Client
from .runner import Runner, on_unix_socket

_DESCRIPTION = """\
Run the wire cases against a client of the QEMU guest agent, and judge from outside what it does.

The client is a command line that runs one command in the guest, prints its output, and exits with 0, or fails with an
error. {endpoint} is the path of the agent's socket, and {command} is the command."""


def main() -> int:
    """Run the program's command line, and return 1 if the client failed a case."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", required=True, help="the client's command line")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which it counts as hung")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="may be repeated")
    parser.add_argument("--libvirt", metavar="DIRECTORY", type=pathlib.Path, help="the lab whose domain is used")
    parser.add_argument("--jobs", type=int, default=1, help="cases at the same time; without libvirt only")
    parser.add_argument("--results", type=pathlib.Path, help="a file for the results, as JSON")
    options = parser.parse_args()
    cases = [case for case in CASES if not options.case or case.name in options.case]
    if options.libvirt is None:
        place = on_unix_socket
    else:
        from .libvirt_channel import LibvirtDomain

        place = LibvirtDomain(options.libvirt).channel
    runner = Runner(Client(options.client, options.limit), place)
    results: dict[str, dict[str, object]] = {}
    failed = 0
    for case, judgement in runner.run(cases, options.jobs):
        failed += not judgement.passed
        verdicts = f"{judgement.verdict.value}, then {judgement.next_verdict.value}"
        print(f"{'ok  ' if judgement.passed else 'FAIL'} {case.name}: {verdicts} ({judgement.seconds} s)", flush=True)
        results[case.name] = judgement.as_result()
        if options.results:
            # After each case, so that a run that is interrupted was not in vain.
            _write(options.results, results, runner.observations.as_result())
    for what, value in runner.observations.as_result().items():
        print(f"     {what}: {value}")
    print(f"{len(cases)} cases, {len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _write(file: pathlib.Path, cases: dict[str, dict[str, object]], observations: Mapping[str, str]) -> None:
    text = json.dumps({"cases": cases, "synchronisation": observations}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
