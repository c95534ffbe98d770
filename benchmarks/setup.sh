#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Sets up what the benchmarks need in addition to the lab's programs (dev/setup.sh lab): in .cache/bench a virtual
# environment of their own, and community.libvirt to compare with. Quick when there is nothing to do.

set -eu
cd "$(dirname "$0")/.."
home=.cache/bench
collections=$home/collections/ansible_collections

# The collection is part of the wheel of the package ansible. Nothing else of it is used.
PEER="ansible == 14.5.0"
PEER_PYTHON=3.12

if ! cmp --silent benchmarks/requirements.txt "$home/requirements.txt"; then
    echo "Installing benchmarks/requirements.txt in $home/venv"
    [ -x "$home/venv/bin/python" ] || "$(python3 dev/pythons.py)" -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
    cp benchmarks/requirements.txt "$home/requirements.txt"
fi

if [ "$(cat "$collections/community/peer" 2>/dev/null)" != "$PEER" ]; then
    echo "Fetching community.libvirt out of $PEER"
    rm -rf "$collections" "$home/wheel"
    "$home/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version "$PEER_PYTHON" --dest "$home/wheel" "$PEER"
    mkdir -p "$collections"
    "$home/venv/bin/python" - "$home/wheel"/*.whl "$home/collections" <<'EXTRACT'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    members = [name for name in wheel.namelist() if name.startswith("ansible_collections/community/libvirt/")]
    wheel.extractall(sys.argv[2], members)
EXTRACT
    rm -rf "$home/wheel"
    echo "$PEER" >"$collections/community/peer"
fi
