#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Sets up what a part of the Makefile needs: `dev/setup.sh demo`, `lab` or `test`. Installs Debian packages with apt
# where that needs no password, and the rest in .venv. Quick when there is nothing to do.

set -eu
cd "$(dirname "$0")/.."
purpose=$1

# Looks for programs and not for packages, so that the packages of other distributions do as well.
missing_packages() {
    # The demonstration runs this machine's own agent, the tests run the agents of several Debian suites.
    local -A package=(
        [ip]=iproute2 [mount]=mount [python3]=python3 [qemu-ga]=qemu-guest-agent [unshare]=util-linux [useradd]=passwd
    )
    if [ "$purpose" != demo ]; then
        # For virtual machines, and to build the Python library for libvirt, of which PyPI has only the source.
        package+=(
            [gcc]=gcc [libvirtd]=libvirt-daemon-system [mke2fs]=e2fsprogs [mmdebstrap]=mmdebstrap
            [pkg-config]=pkg-config [qemu-img]=qemu-utils [qemu-system-x86_64]=qemu-system-x86
            [ssh]=openssh-client [virsh]=libvirt-clients
        )
    fi
    if [ "$purpose" = test ]; then
        package+=(
            [dpkg-deb]=dpkg [git]=git [gpg]=gnupg [java]=default-jre-headless [shellcheck]=shellcheck [socat]=socat
            [sshd]=openssh-server
        )
        # Ubuntu has no package of it that apt can install whole.
        if grep --quiet '^ID=debian$' /etc/os-release; then
            package+=([chromium]=chromium)
        fi
    fi
    local program
    for program in "${!package[@]}"; do
        # The PATH of an ordinary user lacks root's programs.
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "${package[$program]}"
    done

    if [ "$purpose" != demo ]; then
        [ -e /usr/include/libvirt/libvirt.h ] || echo libvirt-dev
        [ -e /usr/include/stdlib.h ] || echo libc6-dev
        [ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo python3-dev
    fi

    # The guests are made of Debian suites, whose keys Ubuntu lacks.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates

    if ! python3 dev/pythons.py >/dev/null 2>&1; then
        # Ubuntu 22.04 has a Python 3.11 next to its own, older one.
        if python3 -c 'import sys; sys.exit(sys.version_info >= (3, 11))' 2>/dev/null; then
            echo python3.11-venv
        else
            echo python3-venv
        fi
    fi
}

install_packages() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo --non-interactive)
    fi
    if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
        echo "Some programs are missing. Please install them as root, then run make again:" >&2
        echo "    apt-get install --no-install-recommends --yes $*" >&2
        exit 1
    fi
    echo "Installing $*"
    "${as_root[@]}" apt-get update --quiet=2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --no-install-recommends --quiet=2 --yes "$@" >/dev/null
}

# Keeps a copy of the requirements that were installed last, to notice when they change.
install_requirements() {
    local requirements=dev/requirements-$purpose.txt installed=.venv/requirements-$purpose.txt
    if cmp --silent "$requirements" "$installed"; then
        return
    fi
    if [ ! -x .venv/bin/python ]; then
        "$(python3 dev/pythons.py)" -m venv .venv
    fi
    echo "Installing $requirements in .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$installed"
}

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
    install_packages "${packages[@]}"
fi
install_requirements
