# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the result of a survey into what a cache plugin can keep in JSON, and back."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import asdict

from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import (
    AgentReport,
    AgentState,
    Domain,
    Result,
)


def to_cache(results: t.Sequence[Result], fingerprint: str) -> dict[str, t.Any]:
    """Return the results as plain values.

    :param fingerprint: from :func:`fingerprint_of`.
    """
    return {
        "fingerprint": fingerprint,
        "domains": [
            {"domain": asdict(result.domain), "report": {**asdict(result.report), "state": result.report.state.value}}
            for result in results
        ],
    }


def from_cache(value: t.Any, fingerprint: str) -> list[Result] | None:
    """Return the results that :func:`to_cache` described.

    :returns: None if the value is from other options, or from another version of this collection.
    """
    try:
        if value["fingerprint"] != fingerprint:
            return None
        return [
            Result(
                Domain(**item["domain"]),
                AgentReport(**{**item["report"], "state": AgentState(item["report"]["state"])}),
            )
            for item in value["domains"]
        ]
    except (KeyError, TypeError, ValueError):
        return None


def fingerprint_of(options: t.Mapping[str, t.Any]) -> str:
    """Return a short text that changes when one of the options does.

    :param options: those that decide what a survey finds.
    """
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:16]
