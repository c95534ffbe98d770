#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs the demonstration with the collection built from this checkout and installed where nothing else is.

set -eu
cd "$(dirname "$0")/.."

export PATH=$PWD/.venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.venv/collections

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
ansible-galaxy collection build --output-path "$build" . >/dev/null
ansible-galaxy collection install --force --offline --no-deps \
    --collections-path "$ANSIBLE_COLLECTIONS_PATH" "$build"/*.tar.gz >/dev/null

examples/demo.sh "$@"
