#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Builds the collection from this checkout, and installs it in .venv/collections, which holds nothing else.

set -eu
cd "$(dirname "$0")/.."

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
.venv/bin/ansible-galaxy collection build --output-path "$build" . >/dev/null
.venv/bin/ansible-galaxy collection install --force --offline --no-deps \
    --collections-path .venv/collections "$build"/*.tar.gz >/dev/null
