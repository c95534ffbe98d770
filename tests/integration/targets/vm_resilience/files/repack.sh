#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Builds a newer package of the guest agent from the installed one, with the maintainer scripts of the distribution.
# The arguments are a suffix for the version and the file to create.

set -eu
package=qemu-guest-agent
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir "$root/DEBIAN"

# Not all files of the package are installed: the image has no documentation. A configuration file may be missing too.
dpkg-query --listfiles "$package" | while IFS= read -r path; do
    if [ -d "$path" ]; then
        mkdir -p "$root$path"
    elif [ -e "$path" ]; then
        mkdir -p "$root${path%/*}"
        cp -a "$path" "$root$path"
    fi
done
for script in preinst postinst prerm postrm; do
    file=/var/lib/dpkg/info/$package.$script
    [ ! -e "$file" ] || cp -a "$file" "$root/DEBIAN/$script"
done
# shellcheck disable=SC2034  # The sum is not needed.
dpkg-query --show --showformat='${Conffiles}\n' "$package" | while read -r path sum; do
    [ ! -e "$root$path" ] || echo "$path"
done > "$root/DEBIAN/conffiles"
# dpkg-query replaces the names.
# shellcheck disable=SC2016
fields='Package: ${Package}\nVersion: ${Version}'$1'\nArchitecture: ${Architecture}\nMaintainer: ${Maintainer}\n'
# shellcheck disable=SC2016
fields=$fields'Depends: ${Depends}\nDescription: ${Description}\n'
dpkg-query --show --showformat="$fields" "$package" > "$root/DEBIAN/control"
dpkg-deb -Znone --build "$root" "$2"
