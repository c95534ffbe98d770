#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_info
short_description: Return what a guest agent reports about its guest
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest agent for everything that it reports about its guest, with all requests at once.
  - It needs no Python in the guest, and no agent that may run programs.
  - An agent may be too old for a subset, or its configuration may not allow it. RV(unavailable) lists such subsets.
    They do not make the task fail.
  - To keep the information as facts of the host, use M(netless.qga.guest_facts).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options:
  subset:
    description:
      - Which information to ask for.
      - Any of V(agent), V(cpu_statistics), V(devices), V(disk_statistics), V(disks), V(filesystems), V(fsfreeze),
        V(hostname), V(interfaces), V(load), V(memory), V(os), V(routes), V(time), V(timezone), V(users) and V(vcpus).
        RV(qga) describes them.
      - V(all) selects all of them.
      - V(!) in front of a name, as in V(!disks), leaves that subset out. If you give no other names, it is left out of
        all.
    type: list
    elements: str
    default: [all]
seealso:
  - module: netless.qga.guest_facts
  - module: netless.qga.time_info
  - module: netless.qga.vcpus_info
  - module: ansible.builtin.setup
"""

EXAMPLES = r"""
- name: Ask a guest for everything over its own connection
  netless.qga.guest_info:
  register: guest

- name: Show its addresses
  ansible.builtin.debug:
    msg: >-
      {{ guest.qga.interfaces | map(attribute='ip_addresses', default=[]) | flatten | map(attribute='ip_address') }}

- name: On the hypervisor, ask the agent of a domain for the operating system and the host name
  netless.qga.guest_info:
    domain: web1
    subset: [os, hostname]

- name: Ask a QEMU virtual machine for everything except its disks
  netless.qga.guest_info:
    endpoint: unix:/run/vms/web1.sock
    subset: ["!disks", "!disk_statistics"]
"""

RETURN = r"""
qga:
  description:
    - What the agent reports, by subset. RV(unavailable) has the subsets that it does not report.
    - The names are the agent's, with C(_) instead of C(-). Newer agents may report more than is described here.
    - All of it comes from the guest, so anyone who controls the guest can make it report anything.
  type: dict
  returned: success
  contains:
    agent:
      description: The agent itself.
      type: dict
      contains:
        version:
          description: The agent's version, which is that of QEMU.
          type: str
          sample: 7.2.22
        supported_commands:
          description: The commands that the agent knows.
          type: list
          elements: dict
          contains:
            name:
              description: The command's name.
              type: str
              sample: guest-get-osinfo
            enabled:
              description: Whether the agent allows the command. While filesystems are frozen, it allows nearly none.
              type: bool
            success_response:
              description: Whether the agent replies when the command succeeds.
              type: bool
    cpu_statistics:
      description: What the guest's CPUs have done since it booted, in ticks of the guest's kernel.
      type: list
      elements: dict
      contains:
        type:
          description: The kind of statistics, V(linux). Other kinds have other members.
          type: str
        cpu:
          description: The CPU's number.
          type: int
        user:
          description: Time spent in programs.
          type: int
        nice:
          description: Time spent in programs of low priority.
          type: int
        system:
          description: Time spent in the kernel.
          type: int
        idle:
          description: Time spent idle.
          type: int
        iowait:
          description: Time spent idle while a program waited for a device.
          type: int
          returned: if the guest counts it, as the members below
        irq:
          description: Time spent in interrupts.
          type: int
        softirq:
          description: Time spent in soft interrupts.
          type: int
        steal:
          description: Time that the hypervisor spent on something else although the CPU had work to do.
          type: int
        guest:
          description: Time spent in guests of the guest.
          type: int
        guestnice:
          description: Time spent in guests of the guest of low priority.
          type: int
    devices:
      description: The devices with drivers. Only agents on Windows report them.
      type: list
      elements: dict
      contains:
        driver_name:
          description: The driver's name.
          type: str
          sample: Red Hat VirtIO Ethernet Adapter
        driver_date:
          description: The driver's date in nanoseconds since 1970.
          type: int
          returned: if it exists
        driver_version:
          description: The driver's version.
          type: str
          returned: if it exists
        id:
          description: The identity of the device.
          type: dict
          returned: if the agent knows it
          contains:
            type:
              description: The kind of device, V(pci). Other kinds have other members.
              type: str
            vendor_id:
              description: The vendor's number.
              type: int
            device_id:
              description: The vendor's number for the device.
              type: int
    disk_statistics:
      description: What the disks have done since the guest booted, as in C(/proc/diskstats).
      type: list
      elements: dict
      contains:
        name:
          description: The disk's or partition's name.
          type: str
          sample: vda
        major:
          description: The device's major number.
          type: int
        minor:
          description: The device's minor number.
          type: int
        stats:
          description: The numbers that the guest's kernel has. Others are absent.
          type: dict
          contains:
            read_sectors:
              description: Sectors read.
              type: int
            read_ios:
              description: Reads done.
              type: int
            read_merges:
              description: Reads merged with others.
              type: int
            read_ticks:
              description: Milliseconds spent on reads.
              type: int
            write_sectors:
              description: Sectors written.
              type: int
            write_ios:
              description: Writes done.
              type: int
            write_merges:
              description: Writes merged with others.
              type: int
            write_ticks:
              description: Milliseconds spent on writes.
              type: int
            discard_sectors:
              description: Sectors discarded.
              type: int
            discard_ios:
              description: Discards done.
              type: int
            discard_merges:
              description: Discards merged with others.
              type: int
            discard_ticks:
              description: Milliseconds spent on discards.
              type: int
            flush_ios:
              description: Flushes done.
              type: int
            flush_ticks:
              description: Milliseconds spent on flushes.
              type: int
            ios_pgr:
              description: Requests in progress.
              type: int
            total_ticks:
              description: Milliseconds in which requests were in progress.
              type: int
            weight_ticks:
              description: Milliseconds that all requests took together.
              type: int
    disks:
      description: The disks and partitions.
      type: list
      elements: dict
      contains:
        name:
          description: The disk's device, or on Windows its name in the device namespace.
          type: str
          sample: /dev/vda
        partition:
          description: Whether this is a partition.
          type: bool
        dependencies:
          description: The devices that the disk or partition is on.
          type: list
          elements: str
          returned: if the agent knows them
        alias:
          description: Another name for the disk, for example from LVM.
          type: str
          returned: if it exists
        address:
          description: The disk's bus and its place there, as in RV(qga.filesystems[].disk[]).
          type: dict
          returned: for disks, if the agent knows it
        smart:
          description: The disk's own health data, with a C(type), and for V(nvme) the members of its log page.
          type: dict
          returned: for NVMe disks
    filesystems:
      description: The mounted filesystems that are on disks.
      type: list
      elements: dict
      contains:
        name:
          description: The device that the filesystem is on.
          type: str
          sample: vda1
        mountpoint:
          description: The directory where it is mounted.
          type: str
          sample: /srv
        type:
          description: The kind of filesystem.
          type: str
          sample: ext4
        used_bytes:
          description: Bytes in use.
          type: int
          returned: if the agent knows it, since QEMU 3.0
        total_bytes:
          description: Bytes that ordinary users can use.
          type: int
          returned: if the agent knows it, since QEMU 3.0
        total_bytes_privileged:
          description: Bytes in total, with those that only privileged users can use.
          type: int
          returned: if the agent knows it, since QEMU 9.1
        disk:
          description: The disks that the filesystem is on.
          type: list
          elements: dict
          contains:
            bus_type:
              description: The kind of bus.
              type: str
              sample: virtio
            bus:
              description: The bus's number.
              type: int
            target:
              description: The target's number.
              type: int
            unit:
              description: The unit's number.
              type: int
            pci_controller:
              description: The PCI address of the bus's controller. Numbers that the agent does not know are V(-1).
              type: dict
              contains:
                domain:
                  description: The domain.
                  type: int
                bus:
                  description: The bus.
                  type: int
                slot:
                  description: The slot.
                  type: int
                function:
                  description: The function.
                  type: int
            ccw_address:
              description: The address in the channel subsystem of IBM Z.
              type: dict
              returned: if it exists
              contains:
                cssid:
                  description: The channel subsystem.
                  type: int
                ssid:
                  description: The set of subchannels.
                  type: int
                subchno:
                  description: The subchannel.
                  type: int
                devno:
                  description: The device.
                  type: int
            serial:
              description: The serial number.
              type: str
              returned: if it exists
            dev:
              description: The device.
              type: str
              returned: if the agent knows it
              sample: /dev/vda1
    fsfreeze:
      description: Whether the agent has frozen the guest's filesystems, V(thawed) or V(frozen).
      type: str
      sample: thawed
    hostname:
      description: The guest's host name.
      type: str
      sample: web1.example.com
    interfaces:
      description: The network interfaces.
      type: list
      elements: dict
      contains:
        name:
          description: The interface's name.
          type: str
          sample: eth0
        hardware_address:
          description: The interface's MAC address.
          type: str
          returned: if it exists
        ip_addresses:
          description: The interface's IP addresses.
          type: list
          elements: dict
          returned: if the interface has any
          contains:
            ip_address:
              description: The address.
              type: str
              sample: 192.0.2.17
            ip_address_type:
              description: V(ipv4) or V(ipv6).
              type: str
            prefix:
              description: The length of the network's prefix.
              type: int
              sample: 24
        statistics:
          description: What the interface has received and sent.
          type: dict
          returned: if the guest counts it
          contains:
            rx_bytes:
              description: Bytes received.
              type: int
            rx_packets:
              description: Packets received.
              type: int
            rx_errs:
              description: Packets received with errors.
              type: int
            rx_dropped:
              description: Packets received and dropped.
              type: int
            tx_bytes:
              description: Bytes sent.
              type: int
            tx_packets:
              description: Packets sent.
              type: int
            tx_errs:
              description: Packets not sent because of errors.
              type: int
            tx_dropped:
              description: Packets dropped before they were sent.
              type: int
    load:
      description: The load averages of the guest. Agents report them since QEMU 10.0.
      type: dict
      contains:
        load1m:
          description: Runnable processes, on average over one minute.
          type: float
          sample: 0.12
        load5m:
          description: The same over five minutes.
          type: float
        load15m:
          description: The same over 15 minutes.
          type: float
    memory:
      description: The memory, in blocks that can be taken online and offline.
      type: dict
      contains:
        blocks:
          description: The blocks.
          type: list
          elements: dict
          contains:
            phys_index:
              description: The block's number.
              type: int
            online:
              description: Whether the guest uses it.
              type: bool
            can_offline:
              description: Whether it can be taken offline.
              type: bool
        block_size:
          description: Bytes in a block.
          type: int
          sample: 134217728
        online_bytes:
          description: Bytes in all blocks that are online. The guest's kernel keeps some of them for itself.
          type: int
          sample: 536870912
    os:
      description: The operating system. Members that the agent does not know are absent.
      type: dict
      contains:
        id:
          description: The name for use by programs, as in C(/etc/os-release). V(mswindows) for Windows.
          type: str
          sample: debian
        name:
          description: The name for people.
          type: str
          sample: Debian GNU/Linux
        pretty_name:
          description: The name and version for people.
          type: str
          sample: Debian GNU/Linux 12 (bookworm)
        version:
          description: The version for people.
          type: str
          sample: 12 (bookworm)
        version_id:
          description: The version for use by programs.
          type: str
          sample: "12"
        variant:
          description: The edition for people.
          type: str
        variant_id:
          description: The edition for use by programs.
          type: str
        kernel_release:
          description: The kernel's release.
          type: str
          sample: 6.1.0-40-cloud-amd64
        kernel_version:
          description: The kernel's version.
          type: str
          sample: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)"
        machine:
          description: The kind of machine.
          type: str
          sample: x86_64
    routes:
      description: The network routes. Agents report them since QEMU 9.1.
      type: list
      elements: dict
      contains:
        iface:
          description: The interface.
          type: str
          sample: eth0
        version:
          description: V(4) for IPv4 and V(6) for IPv6.
          type: int
        destination:
          description: The destination.
          type: str
          sample: 0.0.0.0
        metric:
          description: The cost of the route. The lowest one wins.
          type: int
        mask:
          description: The mask of an IPv4 destination.
          type: str
          returned: for IPv4, as the members below
        gateway:
          description: The next hop.
          type: str
        irtt:
          description: The initial round-trip time.
          type: int
        flags:
          description: The kernel's flags of the route.
          type: int
        refcnt:
          description: The number of references to the route.
          type: int
        use:
          description: How often the route was looked up.
          type: int
        window:
          description: The TCP window.
          type: int
        mtu:
          description: The size of the largest packet.
          type: int
        desprefixlen:
          description: The length of the destination's prefix.
          type: str
          returned: for IPv6, as the members below
        source:
          description: The source.
          type: str
        srcprefixlen:
          description: The length of the source's prefix.
          type: str
        nexthop:
          description: The next hop.
          type: str
    time:
      description: What the guest's clock showed when the agent was asked.
      type: dict
      contains:
        nanoseconds:
          description: Nanoseconds since 1970 in UTC.
          type: int
          sample: 1767225600123456000
        iso8601:
          description: The same as a date and time in UTC.
          type: str
          sample: "2026-01-01T00:00:00.123456Z"
    timezone:
      description: The time zone.
      type: dict
      contains:
        zone:
          description: The time zone's name.
          type: str
          returned: if the agent knows it
          sample: CET
        offset:
          description: Seconds that the time zone is ahead of UTC.
          type: int
          sample: 3600
    users:
      description: The users that are logged in, each of them once.
      type: list
      elements: dict
      contains:
        user:
          description: The user's name.
          type: str
          sample: root
        login_time:
          description: When the user logged in, in seconds since 1970.
          type: float
        domain:
          description: The user's domain on Windows.
          type: str
          returned: on Windows
    vcpus:
      description: The virtual CPUs.
      type: list
      elements: dict
      contains:
        logical_id:
          description: The number that the guest's operating system uses for it.
          type: int
        online:
          description: Whether the guest uses it.
          type: bool
        can_offline:
          description: Whether it can be taken offline.
          type: bool
unavailable:
  description:
    - The selected subsets that the agent did not report, each with a C(reason), and a C(msg) for people.
    - The reason is V(command_missing) if the agent does not know the command. It is too old for it, or was built
      without it.
    - It is V(command_disabled) if the agent's configuration does not allow the command. Before QEMU 9.1 it is also this
      if the guest's operating system has nothing of the kind.
    - It is V(filesystems_frozen) if the agent refuses the command while filesystems are frozen.
    - It is V(agent_refused) if the agent tried and failed.
  type: dict
  returned: success
  sample:
    routes:
      reason: command_missing
      msg: "unix:/run/vms/web1.sock: guest-network-get-route was not sent, because the agent would refuse it. This
        agent, version 7.2.22, does not know the command. QEMU added it in 9.1, and not for every operating system"
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.guest_report import read_guest, unavailable_result
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Return what the agent reports about its guest."""
    facts = read_guest(task.agent, task.params["subset"], task.target.overall_deadline)
    return {"qga": facts.found, "unavailable": unavailable_result(facts)}


OPERATION = Operation(
    run,
    {"subset": {"type": "list", "elements": "str", "default": ["all"]}},
    limit_each_reply=True,
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
