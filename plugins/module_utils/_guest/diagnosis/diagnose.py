# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why an agent, or tasks over it, do not work, and what to do."""

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

# Each needs what those before it have found to be so.
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
# Without these there is no agent to look at.
_ESSENTIAL = ("libraries", "libvirt", "domain", "agent")

_MAKE_IT_POSSIBLE = "See to what the message names, on the host where this module runs"


def diagnose(context: Context) -> list[Finding]:
    """What all checks find, up to the first finding after which nothing else can be looked at."""
    findings: list[Finding] = []
    for name, check in _CHECKS:
        for finding in _carry_out(name, check, context):
            findings.append(finding)
            if finding.ends:
                return findings
    return findings


def summary(findings: t.Sequence[Finding]) -> str:
    """What to do first."""
    for status, nothing_else in ((PROBLEM, ""), (WARNING, "The agent works, and tasks over it do. ")):
        found = [finding for finding in findings if finding.status == status]
        if found:
            sentences = [found[0].message, found[0].advice]
            if len(found) > 1:
                sentences.append(f"Then see {', '.join(finding.check for finding in found[1:])}")
            return nothing_else + " ".join(text if text.endswith("?") else f"{text}." for text in sentences if text)
    return "The agent works, and tasks over it do: there is nothing to be done."


def as_result(findings: t.Sequence[Finding]) -> dict[str, t.Any]:
    """Return the findings as the result of a module."""
    return {
        "ok": all(finding.status != PROBLEM for finding in findings),
        "summary": summary(findings),
        "findings": [finding.as_result() for finding in findings],
    }


def _carry_out(name: str, check: Check, context: Context) -> t.Iterator[Finding]:
    """The check's findings, and one for what kept it from finding more."""
    try:
        yield from check(context)
    except (Unreachable, OutcomeUnknown, ProtocolViolation) as exc:
        yield reachability.no_agent(name, context, exc)
    except (QgaError, OSError) as exc:
        message = f"This could not be looked at: {exc}"
        if name in _ESSENTIAL:
            yield Finding(name, PROBLEM, message, _MAKE_IT_POSSIBLE, ends=True)
        else:
            yield Finding(name, UNKNOWN, message)
