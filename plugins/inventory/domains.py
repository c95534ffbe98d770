# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: domains
short_description: List virtual machines and ask their QEMU guest agents, in parallel and within a deadline
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Lists the domains of libvirt hypervisors, and the virtual machines whose agents have a socket in a directory, as
    Proxmox VE and QEMU without libvirt create them. Sets the variables of the connection
    P(netless.qga.guest_agent#connection), so that plays work at once.
  - Asks the agents of all running domains for the operating system, and for more if O(subset) selects it. The agents
    are asked in parallel. A guest or a hypervisor that hangs delays no other one, and is shown as a group.
  - The inventory is complete within O(timeout) and one more second, whatever hangs.
  - The name of the inventory file has to be C(domains.yml) or C(qga.yml), or end with C(.domains.yml) or C(.qga.yml).
    The extension can also be C(.yaml).
  - Each host is in the group C(qga_domains), in one of the groups C(qga_state_running), C(qga_state_paused),
    C(qga_state_suspended), C(qga_state_off), C(qga_state_crashed) and C(qga_state_unknown), in one of the groups
    C(qga_agent_reachable), C(qga_agent_silent), C(qga_agent_busy), C(qga_agent_unavailable), C(qga_agent_invalid) and
    C(qga_agent_not_asked), and, if its agent reported an operating system, in a group like C(qga_os_debian).
  - If a hypervisor or a directory cannot be read, this is a warning, and the group C(qga_failed_sources) has a group
    for its machine, like C(qga_failed_hv1_example_com). The inventory fails only if nothing at all can be read.
  - R(The guide to the inventory,ansible_collections.netless.qga.docsite.inventory_guide) explains the variables, the
    groups, and how to use them.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
requirements:
  - The Python library C(libvirt) on the controller, for O(uris).
  - The Python library C(jsonschema) 4.0 or newer on the controller, unless O(ask_agents=false).
options:
  plugin:
    description:
      - The name of this plugin.
    type: str
    required: true
    choices:
      - netless.qga.domains
  uris:
    description:
      - The hypervisors, as libvirt URIs for QEMU like V(qemu:///system) or V(qemu+ssh://root@hypervisor/system). With
        C(qemu+ssh), add C(?no_tty=1) and use a key, because no one can answer questions of ssh.
      - If you set neither this nor O(sockets), the plugin reads the hypervisor in the environment variable
        E(LIBVIRT_DEFAULT_URI), or else V(qemu:///system).
    type: list
    elements: str
    default: []
  sockets:
    description:
      - Shell patterns for the Unix sockets of agents on the controller, like V(/run/qemu-server/*.qga) on a node of
        Proxmox VE. C(**) matches any number of directories.
      - Do not use the sockets of domains under libvirt, because libvirt keeps them open. Use O(uris) for them.
    type: list
    elements: str
    default: []
  socket_name:
    description:
      - A regular expression that is searched in the path of each socket of O(sockets). Its group C(name) is the name of
        the domain. Sockets without a match are left out.
      - The default is the name of the file without its extension, like V(100) for C(/run/qemu-server/100.qga).
    type: str
    default: '(?P<name>[^/]+?)(\.[^./]*)?$'
  hostname:
    description:
      - A Jinja expression for the name of a host. It can use all variables of the host.
      - If several domains have the same name, they are left out with a warning, so that a play never runs in the wrong
        guest. Use an expression like V(qga_domain ~ '.' ~ qga_hypervisor) for hypervisors with domains of the same
        name. It is an error if O(strict=true).
      - A domain that several hypervisors list with the same name and UUID, as during a live migration, is one host.
      - If the expression fails, or its value is not a string, the name is the domain's. It is an error if
        O(strict=true).
    type: str
    default: qga_domain
  filters:
    description:
      - Rules that decide which domains are in the inventory. The first rule whose expression is true for a domain
        decides about it. A domain for which none is true is in the inventory.
      - The rules apply before agents are asked. They can use the variables C(qga_domain), C(qga_hypervisor), C(qga_id),
        C(qga_metadata), C(qga_source), C(qga_state) and C(qga_uuid).
      - The inventory fails if an expression fails. Use the filter P(ansible.builtin.default#filter) for metadata that
        some domains do not have.
    type: list
    elements: dict
    default: []
    suboptions:
      include:
        description:
          - A Jinja expression, or V(true). The domains for which it is true are in the inventory.
          - Mutually exclusive with O(filters[].exclude).
        type: raw
      exclude:
        description:
          - A Jinja expression, or V(true). The domains for which it is true are not in the inventory.
          - Mutually exclusive with O(filters[].include).
        type: raw
  metadata:
    description:
      - Which metadata of libvirt domains becomes part of the variable C(qga_metadata). The keys are names of your
        choice. The values are the XML namespaces of elements in C(<metadata>), which C(virsh metadata) sets.
    type: dict
    default: {}
  ask_agents:
    description:
      - Whether agents are asked. If not, the inventory has only what the hypervisors know.
    type: bool
    default: true
  subset:
    description:
      - What agents are asked for. The subsets are those of M(netless.qga.guest_info). Each becomes a variable, for
        example C(qga_hostname) for V(hostname), if the agent reports it.
      - The groups of operating systems need V(os).
    type: list
    elements: str
    choices:
      - devices
      - disks
      - filesystems
      - fsfreeze
      - hostname
      - interfaces
      - memory
      - os
      - routes
      - timezone
      - users
      - vcpus
    default:
      - os
  timeout:
    description:
      - Seconds that the whole inventory may take. What has not answered by then counts as not answering.
    type: float
    default: 30
    env:
      - name: QGA_INVENTORY_TIMEOUT
  hypervisor_timeout:
    description:
      - Seconds that a hypervisor may take to list its domains.
    type: float
    default: 10
    env:
      - name: QGA_INVENTORY_HYPERVISOR_TIMEOUT
  agent_timeout:
    description:
      - Seconds that an agent may take for all its answers. This includes waiting for tasks that use the same endpoint.
    type: float
    default: 5
    env:
      - name: QGA_INVENTORY_AGENT_TIMEOUT
  parallel:
    description:
      - How many agents are asked at a time.
    type: int
    default: 100
  parallel_per_hypervisor:
    description:
      - How many agents of one hypervisor are asked at a time. Each takes a connection to libvirtd, and one of its
        worker threads, of which it has 20 by default (C(max_workers)).
    type: int
    default: 10
notes:
  - What guests report is not trustworthy. Ansible never evaluates it as a template. Be careful with it in O(hostname),
    O(compose), O(groups) and O(keyed_groups), because a guest chooses it.
  - An inventory in which a source could not be read is not written to the cache.
  - After a change of options that decide what is asked, like O(uris), O(filters) or O(subset), the plugin does not use
    the cache. After a change of other options, like O(keyed_groups), it uses the cached answers.
seealso:
  - plugin: netless.qga.guest_agent
    plugin_type: connection
    description: The connection to the guests.
  - module: netless.qga.diagnosis_info
    description: Find out why an agent does not answer.
"""

EXAMPLES = r"""
# The file vms.qga.yml. All domains of this machine's libvirt.
plugin: netless.qga.domains

---
# Two hypervisors. Hosts have names like web1.hv1.example.com.
plugin: netless.qga.domains
uris:
  - qemu+ssh://root@hv1.example.com/system?no_tty=1
  - qemu+ssh://root@hv2.example.com/system?no_tty=1
hostname: qga_domain ~ '.' ~ qga_hypervisor

---
# The virtual machines of a Proxmox VE node, on the node itself. Their hosts have names like vm100.
plugin: netless.qga.domains
sockets:
  - /run/qemu-server/*.qga
hostname: "'vm' ~ qga_domain"

---
# Directories with one socket each, like /run/vms/web1/qga.sock.
plugin: netless.qga.domains
sockets:
  - /run/vms/*/qga.sock
socket_name: '/(?P<name>[^/]+)/qga\.sock$'

---
# Only running domains with metadata that this command has set:
#   virsh metadata web1 https://example.com/netless --key app --set '<info><role>web</role></info>'
# They are in groups like role_web, and in groups by the release of their operating system, like debian_12.
plugin: netless.qga.domains
uris:
  - qemu:///system
metadata:
  app: https://example.com/netless
filters:
  - exclude: qga_state != 'running'
  - include: qga_metadata.app.role | default('') != ''
  - exclude: true
subset:
  - hostname
  - os
keyed_groups:
  - key: qga_metadata.app.role
    prefix: role
  - key: qga_os.id ~ '_' ~ qga_os.version_id
    separator: ""
compose:
  ansible_qga_endpoint: "'libvirt:io.netless.agent.0'"
groups:
  old_agents: qga_agent_version is version('7.2', '<')

---
# With a cache, and shorter timeouts.
plugin: netless.qga.domains
timeout: 10
agent_timeout: 2
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /var/cache/ansible/qga
cache_timeout: 600
"""

import os
import re
import typing as t

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.template import trust_as_template

from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_positive
from ansible_collections.netless.qga.plugins.module_utils._inventory.cache_entry import (
    fingerprint_of,
    from_cache,
    to_cache,
)
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import Domain, Result
from ansible_collections.netless.qga.plugins.module_utils._inventory.host_names import name_hosts
from ansible_collections.netless.qga.plugins.module_utils._inventory.host_variables import (
    FAILED_SOURCES,
    NOT_FROM_GUESTS,
    domain_variables,
    failed_group,
    host_groups,
    host_variables,
)
from ansible_collections.netless.qga.plugins.module_utils._inventory.hypervisor_source import HypervisorSource
from ansible_collections.netless.qga.plugins.module_utils._inventory.socket_source import SocketSource
from ansible_collections.netless.qga.plugins.module_utils._inventory.source import Source
from ansible_collections.netless.qga.plugins.module_utils._inventory.survey import Survey, SurveyLimits
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import require_jsonschema
from ansible_collections.netless.qga.plugins.plugin_utils.errors import ansible_errors

# The options that decide what is found. Cached results are valid as long as they are the same.
_FINDING = ("uris", "sockets", "socket_name", "filters", "metadata", "ask_agents", "subset")

_UNITS = {
    "timeout": "seconds",
    "hypervisor_timeout": "seconds",
    "agent_timeout": "seconds",
    "parallel": "agents",
    "parallel_per_hypervisor": "agents",
}

# Strings that no template and no expression with an effect can look like.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@?&=+,~%-]*\Z")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # pylint: disable=too-many-ancestors
    """The inventory of the domains of some hypervisors and directories."""

    NAME = "netless.qga.domains"

    def verify_file(self, path: str) -> bool:
        """Return whether the file has the name of a configuration of this plugin."""
        stem, extension = os.path.splitext(os.path.basename(path))
        has_name = extension in (".yml", ".yaml") and stem.rpartition(".")[2] in ("domains", "qga")
        return has_name and bool(BaseInventoryPlugin.verify_file(self, path))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add the domains to the inventory."""
        super().parse(inventory, loader, path, cache)
        self._data = inventory
        self._read_config_data(path)
        with ansible_errors():
            for option, unit in _UNITS.items():
                check_positive(option, self.get_option(option), unit)
        self._add_hosts(self._results(self.get_cache_key(path), use_cache=cache))

    def _results(self, cache_key: str, *, use_cache: bool) -> list[Result]:
        """Return the domains, from the cache if the user wants it and it has them."""
        keeps_cache = self.get_option("cache")
        fingerprint = fingerprint_of({**{name: self.get_option(name) for name in _FINDING}, "uris": self._uris()})
        if keeps_cache and use_cache:
            cached = from_cache(self._cache.get(cache_key), fingerprint)
            if cached is not None:
                return cached
        results, complete = self._survey()
        if keeps_cache and complete:
            self._cache[cache_key] = to_cache(results, fingerprint)
        return results

    def _survey(self) -> tuple[list[Result], bool]:
        """Read all sources.

        :returns: the domains, and whether every source could be read.
        """
        limits = SurveyLimits(
            seconds=self.get_option("timeout"),
            listing_seconds=self.get_option("hypervisor_timeout"),
            agent_seconds=self.get_option("agent_timeout"),
            max_parallel=self.get_option("parallel"),
        )
        with ansible_errors():
            sources = self._sources()
            if self.get_option("ask_agents"):
                require_jsonschema()
        subsets = self.get_option("subset") if self.get_option("ask_agents") else None
        found = Survey(sources, limits, accept=self._accepts, subsets=subsets).run()
        if len(found.failures) == len(sources):
            raise AnsibleParserError(f"Nothing could be read. {'. '.join(found.failures.values())}")
        self._add_failures({source.name: source for source in sources}, found.failures)
        return found.results, not found.failures

    def _sources(self) -> list[Source]:
        hypervisors: list[Source] = [
            HypervisorSource(
                uri,
                max_parallel=self.get_option("parallel_per_hypervisor"),
                namespaces=self.get_option("metadata"),
            )
            for uri in self._uris()
        ]
        name_pattern = self.get_option("socket_name")
        patterns = dict.fromkeys(self.get_option("sockets"))
        return hypervisors + [SocketSource(pattern, name_pattern=name_pattern) for pattern in patterns]

    def _uris(self) -> list[str]:
        uris = list(dict.fromkeys(self.get_option("uris")))
        if uris or self.get_option("sockets"):
            return uris
        return [os.environ.get("LIBVIRT_DEFAULT_URI") or "qemu:///system"]

    def _accepts(self, domain: Domain) -> bool:
        """Return what the option ``filters`` decides about a domain."""
        variables = domain_variables(domain)
        for rule in self.get_option("filters"):
            given = {kind: expression for kind, expression in rule.items() if expression is not None}
            if len(given) != 1:
                raise AnsibleParserError(f"filters: a rule has either include or exclude, not {sorted(given)}")
            ((kind, expression),) = given.items()
            try:
                matches = expression if isinstance(expression, bool) else self._compose(expression, variables)
            except Exception as exc:
                raise AnsibleParserError(f"filters: {expression!r} fails for {domain.name}: {exc}") from exc
            if matches:
                return bool(kind == "include")
        return True

    def _add_failures(self, sources: t.Mapping[str, Source], failures: t.Mapping[str, str]) -> None:
        for name, message in failures.items():
            self.display.warning(message)
            group = self._data.add_group(failed_group(sources[name].hypervisor))
            self._data.add_group(FAILED_SOURCES)
            self._data.add_child(FAILED_SOURCES, group)
        if failures:
            self._data.set_variable(FAILED_SOURCES, "qga_failures", dict(failures))

    def _add_hosts(self, results: t.Sequence[Result]) -> None:
        named = name_hosts([(self._host_name(result), result) for result in results])
        for problem in named.problems:
            if self.get_option("strict"):
                raise AnsibleParserError(problem)
            self.display.warning(problem)
        for name, result in named.hosts.items():
            self._add_host(name, result)

    def _host_name(self, result: Result) -> str:
        expression = self.get_option("hostname")
        name = result.domain.name
        if expression == "qga_domain":
            return name
        try:
            value = self._compose(expression, host_variables(result))
            if isinstance(value, str):
                return value
            problem = f"its value is a {type(value).__name__}"
        except Exception as exc:  # pylint: disable=broad-exception-caught  # whatever the user's expression raises
            problem = str(exc)
        if self.get_option("strict"):
            raise AnsibleError(f"hostname: {expression!r} is no name for {name}: {problem}")
        self.display.warning(f"hostname: {expression!r} is no name for {name}, which keeps its own: {problem}")
        return name

    def _add_host(self, name: str, result: Result) -> None:
        variables = {name: _trust_plain(name, value) for name, value in host_variables(result).items()}
        strict = self.get_option("strict")
        for group in host_groups(result):
            self._data.add_group(group)
            self._data.add_host(name, group=group)
        for variable, value in variables.items():
            self._data.set_variable(name, variable, value)
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def _trust_plain(name: str, value: t.Any) -> t.Any:
    """Return the value of a variable, marked as trusted if it is harmless and not from a guest.

    Ansible evaluates templates only in strings with this mark. ansible-inventory prints all others as objects with the
    member ``__ansible_unsafe``, which other programs may not expect in a variable like ``ansible_host``.
    """
    if isinstance(value, str) and (not value or (name in NOT_FROM_GUESTS and _PLAIN.match(value))):
        return trust_as_template(value)
    return value
