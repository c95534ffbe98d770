#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs a command where it can change nothing of this machine: controller.sh WORK CHANNEL COLLECTION COMMAND [ARGUMENT...].
# Runs in new namespaces of mounts and processes, and without a network. /mnt is WORK, /mnt/channel has the agent's
# socket, and the collection is in /mnt/collections. What the command writes to /etc, /root, /tmp and
# /var/tmp is lost, and it cannot write anywhere else.
set -eu

work=$1 channel=$2 collection=$3
shift 3

mount --make-rprivate /
mount --bind "$work" /mnt
cd /mnt
mkdir -p channel collections/ansible_collections/netless/qga scratch tmp
mount --bind "$channel" channel
mount --bind -o ro "$collection" collections/ansible_collections/netless/qga
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs tmpfs scratch
# Overlays keep what is there visible: this checkout, Python or ansible-core may be in one of them.
for directory in /etc /root /tmp /var/tmp; do
    layer=scratch/$(echo "${directory#/}" | tr / -)
    mkdir -p "$layer/upper" "$layer/work"
    chmod --reference="$directory" "$layer/upper"
    mount -t overlay -o "lowerdir=$directory,upperdir=/mnt/$layer/upper,workdir=/mnt/$layer/work" overlay "$directory"
done
mkdir -p /root/.ssh
: >/root/.ssh/authorized_keys
mount -o remount,bind,ro /
ip link set lo up

"$@"
