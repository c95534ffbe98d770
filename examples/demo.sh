#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Starts a guest that has no network, and runs demo.yml in it. The guest is the real qemu-ga of this machine, in a
# sandbox that has the machine's programs but forgets all changes. qemu-guest-agent, ansible-core and this collection
# must be installed; `make demo` installs them.

set -eu
cd "$(dirname "$0")"
sandbox=../tests/guests/sandbox.py
scratch=$(mktemp -d)

clean_up() {
    python3 "$sandbox" stop --state "$scratch/sandbox"
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

endpoint=$(python3 "$sandbox" start --state "$scratch/sandbox" --while-pid $$)
echo "A guest without a network is up. The endpoint of its agent is $endpoint"

options=(--extra-vars "ansible_qga_endpoint=$endpoint demo_scratch=$scratch")
if [ "$(id -u)" -ne 0 ]; then
    echo "You are not root, so your sandbox has only one user. The demo skips the tasks that run as another user."
    options+=(--skip-tags become)
fi

head --bytes=1M /dev/urandom >"$scratch/sent"
export ANSIBLE_CONFIG=$PWD/ansible.cfg
ansible-playbook "${options[@]}" demo.yml
cmp "$scratch/sent" "$scratch/fetched"
echo "One MiB of random bytes was copied to the guest and back, and is unchanged."

cat <<'OWN'

To do the same with your own virtual machine, install qemu-guest-agent in it, give it a channel

    qemu-system-x86_64 … \
      -chardev socket,path=/run/vms/web1/qga.sock,server=on,wait=off,id=qga0 \
      -device virtio-serial \
      -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0

and add it to the inventory:

    web1:
      ansible_connection: netless.qga.guest_agent
      ansible_qga_endpoint: unix:/run/vms/web1/qga.sock
OWN
