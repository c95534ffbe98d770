# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's virtual CPUs: which of them its operating system uses, and switching them."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, TaskFailed, excerpt


@dataclass(frozen=True)
class Vcpu:
    """One virtual CPU (QAPI ``GuestLogicalProcessor``).

    :param can_offline: False if the guest's operating system cannot work without it.
    """

    logical_id: int
    online: bool
    can_offline: bool


@dataclass(frozen=True)
class Vcpus:
    """All virtual CPUs of a guest, as they are or as they should be.

    :param endpoint: of the guest's agent, for messages.
    :param by_id: each virtual CPU by its logical id, in the order of the ids.
    """

    endpoint: str
    by_id: t.Mapping[int, Vcpu]

    @property
    def online(self) -> list[int]:
        """The logical ids of the virtual CPUs in use."""
        return [number for number, vcpu in self.by_id.items() if vcpu.online]

    @property
    def offline(self) -> list[int]:
        """The logical ids of the others."""
        return [number for number, vcpu in self.by_id.items() if not vcpu.online]

    def as_result(self) -> dict[str, t.Any]:
        """Return them as a part of a module's result."""
        return {"vcpus": self.as_list(), "online_count": len(self.online)}

    def as_list(self) -> list[dict[str, t.Any]]:
        """Return each as a dict, in the order of their ids."""
        return [asdict(vcpu) for vcpu in self.by_id.values()]

    def as_diff(self) -> dict[str, list[int]]:
        """Return them as one side of a diff."""
        return {"online": self.online, "offline": self.offline}

    def switched(self, *, online: t.Collection[int], offline: t.Collection[int]) -> Vcpus:
        """Return the same vCPUs with some of them online and some offline.

        :raises InvalidRequest: a vCPU does not exist, should be both, or cannot be taken offline.
        """
        both = sorted(set(online) & set(offline))
        if both:
            raise InvalidRequest(f"{self.endpoint}: vCPU {_listed(both)} cannot be online and offline at the same time")
        unknown = sorted({*online, *offline} - set(self.by_id))
        if unknown:
            raise InvalidRequest(
                f"{self.endpoint}: there is no vCPU {_listed(unknown)} in the guest, which has {_listed(self.by_id)}"
            )
        fixed = [number for number in offline if self.by_id[number].online and not self.by_id[number].can_offline]
        if fixed:
            raise InvalidRequest(f"{self.endpoint}: the guest cannot take vCPU {_listed(fixed)} offline")
        return Vcpus(
            self.endpoint,
            {
                number: replace(vcpu, online=number in online or (vcpu.online and number not in offline))
                for number, vcpu in self.by_id.items()
            },
        )

    def counted(self, count: int) -> Vcpus:
        """Return the same vCPUs with a number of them online: the first ones come online, the last ones go offline.

        :raises InvalidRequest: there are too few vCPUs, or too few that can be taken offline.
        """
        if count < 1:
            raise InvalidRequest(f"count: {count} vCPUs are too few for a guest")
        missing = count - len(self.online)
        if missing > len(self.offline):
            raise InvalidRequest(
                f"{self.endpoint}: the guest has {len(self.by_id)} vCPUs, so there cannot be {count} online. Plug in "
                f"more on the hypervisor first"
            )
        if missing >= 0:
            return self.switched(online=self.offline[:missing], offline=())
        spare = [number for number in self.online if self.by_id[number].can_offline]
        if len(spare) < -missing:
            raise InvalidRequest(
                f"{self.endpoint}: the guest can take {len(spare)} vCPUs offline, so there cannot be {count} online"
            )
        return self.switched(online=(), offline=spare[missing:])

    def different(self, others: Vcpus) -> list[Vcpu]:
        """Return those of the others that are not in the same state as here."""
        return [
            other
            for number, other in others.by_id.items()
            if number not in self.by_id or self.by_id[number].online != other.online
        ]


def read_vcpus(agent: Agent, deadline: Deadline) -> Vcpus:
    """Read all vCPUs of the guest."""
    reply = agent.call("guest-get-vcpus", deadline=deadline, repeatable=True)
    found = [Vcpu(vcpu["logical-id"], vcpu["online"], vcpu.get("can-offline", True)) for vcpu in reply]
    # Agents return them in any order.
    found.sort(key=lambda vcpu: vcpu.logical_id)
    return Vcpus(agent.endpoint, {vcpu.logical_id: vcpu for vcpu in found})


def switch_vcpus(agent: Agent, changes: t.Sequence[Vcpu], deadline: Deadline) -> None:
    """Take vCPUs online and offline.

    The agent switches one after the other, and stops at the first that it cannot switch. It returns how many it has
    switched, which is not worth more than reading all of them again.

    :param changes: the vCPUs to switch, as they should be.
    :raises AgentRefused: the agent has switched none.
    """
    vcpus = [{"logical-id": vcpu.logical_id, "online": vcpu.online} for vcpu in changes]
    agent.call("guest-set-vcpus", {"vcpus": vcpus}, deadline=deadline)


def require_switched(changes: t.Sequence[Vcpu], after: Vcpus, result: t.Mapping[str, t.Any]) -> None:
    """Raise an error if the guest did not switch all vCPUs.

    :param changes: the vCPUs to switch, as they should be.
    :param after: all vCPUs as they are now.
    :param result: goes into the error.
    :raises TaskFailed: the guest did not switch some of them.
    """
    missing = [
        vcpu
        for vcpu in changes
        if vcpu.logical_id not in after.by_id or after.by_id[vcpu.logical_id].online != vcpu.online
    ]
    if missing:
        wanted = "; ".join(f"{vcpu.logical_id} {'online' if vcpu.online else 'offline'}" for vcpu in missing)
        raise TaskFailed(
            f"{after.endpoint}: the guest did not switch these vCPUs: {wanted}. Its kernel log may explain why",
            error="partly_done",
            **result,
        )


def _listed(numbers: t.Iterable[int]) -> str:
    return excerpt(", ".join(map(str, numbers)))
