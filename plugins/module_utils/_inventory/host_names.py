# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give each domain the name of a host, and find domains that would be the same host."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import Result

# A guest may choose its own host name. As one of these, it would receive what a play does on the controller.
_RESERVED = ("localhost", "127.0.0.1", "::1", "all", "ungrouped")

# The length of a name in the DNS.
_MAX_NAME = 253


@dataclass(frozen=True)
class NamedHosts:
    """The hosts of an inventory.

    :param hosts: the domain of each name.
    :param problems: which domains are left out, and why.
    """

    hosts: dict[str, Result] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def name_hosts(named: t.Iterable[tuple[str, Result]]) -> NamedHosts:
    """Return the hosts that have a valid name that no other domain has.

    A domain that several hypervisors list with the same name and UUID, as during a live migration, is one host: the one
    that runs. Other domains with the same name are all left out, because a play must not run in the wrong one.

    :param named: each domain, and the name that its host should have.
    """
    by_name: dict[str, list[Result]] = {}
    result = NamedHosts()
    for name, domain in named:
        if _is_valid(name):
            by_name.setdefault(name, []).append(domain)
        else:
            result.problems.append(f"{_where(domain)}: {name[:_MAX_NAME]!r} cannot be the name of a host")
    for name, candidates in by_name.items():
        domains = _merge_migrating(candidates)
        if len(domains) == 1:
            result.hosts[name] = domains[0]
        else:
            places = ", ".join(_where(domain) for domain in domains)
            result.problems.append(
                f"{len(domains)} domains would be the host {name!r}, and are left out: {places}. Set the option "
                f"hostname so that their names differ"
            )
    return result


def _is_valid(name: str) -> bool:
    usable = name.isprintable() and name == name.strip() and 0 < len(name) <= _MAX_NAME
    return usable and name.lower() not in _RESERVED


def _merge_migrating(domains: list[Result]) -> list[Result]:
    """Return each domain once, if several hypervisors list it."""
    merged: dict[str, Result] = {}
    for domain in domains:
        # A socket has no UUID, and is a domain of its own.
        key = domain.domain.uuid or domain.domain.endpoint
        if key not in merged or (merged[key].state != "running" and domain.state == "running"):
            merged[key] = domain
    return list(merged.values())


def _where(result: Result) -> str:
    domain = result.domain
    return f"{domain.name} on {domain.uri}" if domain.uri else domain.endpoint
