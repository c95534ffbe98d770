# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables and groups of an inventory's hosts."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import Domain, Result

#: The group of all domains.
ALL_DOMAINS = "qga_domains"
#: The group whose subgroups are the machines with sources that could not be read.
FAILED_SOURCES = "qga_failed_sources"

#: The variables with strings that only the hypervisor and the user of Ansible choose.
NOT_FROM_GUESTS = frozenset(
    (
        "ansible_connection",
        "ansible_host",
        "ansible_libvirt_uri",
        "ansible_qga_endpoint",
        "qga_agent_state",
        "qga_domain",
        "qga_hypervisor",
        "qga_source",
        "qga_state",
        "qga_uuid",
    )
)

# A guest chooses the name of its operating system, which becomes part of a group's.
_MAX_GROUP_SUFFIX = 64


def domain_variables(domain: Domain) -> dict[str, t.Any]:
    """Return the variables of a domain that are known before its agent is asked."""
    return {
        "qga_domain": domain.name,
        "qga_hypervisor": domain.hypervisor,
        "qga_id": domain.number,
        "qga_metadata": domain.metadata,
        "qga_source": domain.source,
        "qga_state": domain.state,
        "qga_uuid": domain.uuid,
    }


def host_variables(result: Result) -> dict[str, t.Any]:
    """Return all variables of a host. Those of the subsets are missing if its agent did not report them."""
    domain, report = result.domain, result.report
    variables = {
        **domain_variables(domain),
        "qga_state": result.state,
        "qga_agent_state": report.state.value,
        "qga_agent_message": report.message,
        "qga_agent_version": report.version,
        **{f"qga_{subset}": value for subset, value in report.facts.items()},
        "ansible_connection": "netless.qga.guest_agent",
        "ansible_qga_endpoint": domain.endpoint,
    }
    if domain.uri:
        variables.update(ansible_host=domain.name, ansible_libvirt_uri=domain.uri)
    return variables


def host_groups(result: Result) -> list[str]:
    """Return the groups that a host is in without a request of the user."""
    groups = [ALL_DOMAINS, f"qga_state_{result.state}", f"qga_agent_{result.report.state.value}"]
    system = result.report.facts.get("os", {}).get("id")
    if system:
        groups.append(f"qga_os_{group_suffix(system)}")
    return groups


def failed_group(hypervisor: str) -> str:
    """Return the group of a machine with a source that could not be read."""
    return f"qga_failed_{group_suffix(hypervisor)}"


def group_suffix(text: str) -> str:
    """Return a text in a form that can be part of the name of a group."""
    return re.sub(r"[^a-z0-9]", "_", text.lower())[:_MAX_GROUP_SUFFIX]
