# shellcheck shell=bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# For the runme.sh of a target that needs virtual machines, which sources this: `lab up bookworm qemu` starts guests in
# a lab of the target's own, with ${inventory} for them, and whatever happens nothing of it is left at the end.

work="$(mktemp -d)"
# shellcheck disable=SC2034 # For the target.
inventory="${work}/lab/inventory.yml"

lab() {
    (cd "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga" && python -m tests.lab "$@" --state "${work}/lab")
}

remove_lab() {
    lab down
    rm -rf "${work}"
}
trap remove_lab EXIT
# Bash ends by a signal without the trap above, unless it has one for the signal too.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Finding the Python of a guest takes it seconds, once a play.
export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3
