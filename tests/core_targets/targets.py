# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of ansible-core's integration test targets run on a sandboxed guest, and why the others do not."""

from __future__ import annotations

SUITE = "bookworm"
"""The Debian suite of the guest."""
PACKAGES = (
    "debconf-utils",
    "file",
    "openssh-client",
    "python3-apt",
    "tzdata",
)
"""What the guest has in addition, for some targets."""

QUICK = (
    "async_fail",
    "module_utils_common.respawn",
    "old_style_modules_posix",
)
"""Targets that every test run includes: AnsiballZ and older modules, asynchronous ones, and other interpreters."""

LONG = (
    "ansiballz_python",
    "assemble",
    "async",
    "async_extra_data",
    "become",
    "become_su",
    "become_sudo",
    "binary",
    "blockinfile",
    "changed_when",
    "check_mode",
    "command_shell",
    "debconf",
    "deprecations",
    "embedded_module",
    "environment",
    "facts_d",
    "failed_when",
    "file",
    "find",
    "getent",
    "interpreter_discovery_python",
    "known_hosts",
    "lineinfile",
    "missing-interpreter",
    "module-serialization-profiles",
    "module_no_log",
    "module_precedence",
    "module_utils",
    "no_log",
    "omit",
    "ping",
    "raw",
    "replace",
    "result_pickle_error",
    "script",
    "service_facts",
    "slurp",
    "split",
    "stat",
    "task-timeout",
    "tempfile",
    "unsafe_writes",
    "wait_for_connection",
    "want_json_modules_posix",
)
"""Targets that only the whole run includes."""

WITHOUT_MODULES = {
    "missing-interpreter": "its interpreters do not exist",
    "result_pickle_error": "its only task is an action of the controller",
}
"""Targets none of whose modules can run in a kept interpreter, and why."""

LAST_CORE = {
    "module_no_log": "2.21",
}
"""Targets that newer versions of ansible-core run on the controller, and the last version that runs them on a host."""

NOT_RUN = {
    "apt": "installs packages from the network",
    "argspec": "needs ansible-test's script virtualenv.sh, and runs on the controller",
    "become_unprivileged": "its hosts are local users, over ssh",
    "binary_modules_posix": "needs a Go compiler",
    "collections": "sets ANSIBLE_COLLECTIONS_PATH to its own collections only, so that ours is not found",
    "connection_delegation": "needs sshpass",
    "copy": "logs in as another user, as only ssh can",
    "cron": "waits for jobs of a cron that it lets run with another time, not always long enough",
    "deb822_repository": "downloads a key",
    "delegate_to": "its hosts are local users, over ssh",
    "dnf-latest": "needs dnf",
    "dnf-oldest": "needs dnf",
    "dpkg_selections": "installs a package from the network",
    "expect": "installs pexpect with pip",
    "facts_linux_network": "needs a network interface with a default route",
    "fetch": "logs in as another user, as only ssh can",
    "gathering_facts": "its hosts are the controller",
    "get_url": "needs a network",
    "git": "needs a network",
    "group": "takes groups at random, so that no two runs are equal",
    "hardware_facts": "needs loop devices and LVM",
    "hostname": "needs systemd",
    "iptables": "needs the kernel's tables",
    "loops": "measures times, so that no two runs are equal",
    "missing_required_lib": "runs on the controller",
    "module_defaults": "runs on the controller",
    "module_tracebacks": "its hosts are the controller, and the same over ssh",
    "module_utils_facts.system.selinux": "needs SELinux",
    "module_utils_urls": "needs a network",
    "mount_facts": "needs to mount file systems, for which the sandbox has no rights",
    "package_facts": "installs rpm from the network",
    "pause": "needs ansible-test's script virtualenv.sh, and runs on the controller",
    "pip": "needs a network",
    "reboot": "needs a guest that can boot",
    "remote_tmp": "finds Ansible's own file of a module, whose size depends on a number with a random length",
    "service": "needs systemd",
    "set_fact": "runs on the controller",
    "shell-plugins": "expects a command line of the connections ssh and local",
    "subversion": "needs a network",
    "systemd": "needs systemd",
    "template": "reads on the controller what it wrote on the host",
    "unarchive": "removes unzip, and installs it again from the network",
    "uri": "needs a network",
    "user": "takes users at random, so that no two runs are equal",
    "wait_for": "waits for a network interface to have a carrier",
}
"""Targets that run modules on their hosts and cannot run here, each with the reason."""
