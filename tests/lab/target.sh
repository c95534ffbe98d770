# shellcheck shell=bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The runme.sh of a target that needs virtual machines sources this. `lab up bookworm qemu` starts guests in a lab of the
# target's own, and ${inventory} is their inventory. Nothing of the lab is left when the script ends, however it ends.

work="$(mktemp -d)"
# shellcheck disable=SC2034 # The target uses it.
inventory="${work}/lab/inventory.yml"

lab() {
    (cd "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga" && python -m tests.lab "$@" --state "${work}/lab")
}

remove_lab() {
    lab down
    rm -rf "${work}"
}
trap remove_lab EXIT
# Bash skips the trap above when a signal ends it, unless there is a trap for that signal too.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Ansible needs seconds to find the Python of a guest, once in each play.
export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3
