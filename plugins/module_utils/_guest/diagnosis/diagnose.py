# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a diagnosis in their order, and the summary of their findings."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import capabilities, reachability
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.environment import environment
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import (
    PROBLEM,
    UNKNOWN,
    WARNING,
    Context,
    Finding,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
)

Check = t.Callable[[Context], t.Iterator[Finding]]

# Each check relies on what the checks before it have found.
_CHECKS: tuple[tuple[str, Check], ...] = (
    ("libraries", reachability.libraries),
    ("libvirt", reachability.libvirt),
    ("domain", reachability.domain),
    ("agent", reachability.agent),
    ("version", capabilities.version),
    ("frozen", capabilities.frozen),
    ("exec", capabilities.programs_and_files),
    ("commands", capabilities.other_commands),
    ("speed", capabilities.speed),
    ("shell", environment),
)
# If one of these fails, there is no agent to check.
_ESSENTIAL = ("libraries", "libvirt", "domain", "agent")

_CORRECT_THE_HOST = "Correct what the message names, on the host where this module runs"


def diagnose(context: Context) -> list[Finding]:
    """Run all checks, up to the first finding that makes the other checks impossible."""
    findings: list[Finding] = []
    for name, check in _CHECKS:
        for finding in _run_check(name, check, context):
            findings.append(finding)
            if finding.ends:
                return findings
    return findings


def summary(findings: t.Sequence[Finding]) -> str:
    """Return the first problem, or else the first warning, and what to do about it."""
    for status, introduction in ((PROBLEM, ""), (WARNING, "The agent works, and so do tasks that use it. ")):
        found = [finding for finding in findings if finding.status == status]
        if found:
            sentences = [found[0].message, found[0].advice]
            if len(found) > 1:
                sentences.append(f"Then see {', '.join(finding.check for finding in found[1:])}")
            return introduction + " ".join(text if text.endswith("?") else f"{text}." for text in sentences if text)
    return "The agent works, and so do tasks that use it: there is nothing to be done."


def as_result(findings: t.Sequence[Finding]) -> dict[str, t.Any]:
    """Return the findings as the result of a module."""
    return {
        "ok": all(finding.status != PROBLEM for finding in findings),
        "summary": summary(findings),
        "findings": [finding.as_result() for finding in findings],
    }


def _run_check(name: str, check: Check, context: Context) -> t.Iterator[Finding]:
    """Run one check, and turn an error that stops it into a finding."""
    try:
        yield from check(context)
    except (Unreachable, OutcomeUnknown, ProtocolViolation) as exc:
        yield reachability.no_agent(name, context, exc)
    except (QgaError, OSError) as exc:
        message = f"This could not be checked: {exc}"
        if name in _ESSENTIAL:
            yield Finding(name, PROBLEM, message, _CORRECT_THE_HOST, ends=True)
        else:
            yield Finding(name, UNKNOWN, message)
