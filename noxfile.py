# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of the collection, one nox session each. None needs a container, or a download from anywhere but PyPI."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import antsibull_nox
import nox

ANSIBLE_CORES = ("2.19", "2.21")
GET_PIP = Path(__file__).resolve().parent / "dev" / "get_pip.py"


def provide_get_pip() -> None:
    """Save ansible-test the download of a bootstrap script: ensurepip has a pip to start from.

    The scripts are named after the pip that each ansible-core asks for. One that ansible-test has downloaded is kept.
    """
    cache = Path("~/.ansible/test/cache").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    for pip_version in ("24_2", "25_2"):
        script = cache / f"get_pip_{pip_version}.py"
        if not script.exists():
            shutil.copyfile(GET_PIP, script)


def provide_ssh_key() -> None:
    """Make the key pair that ansible-test makes when it first runs: two of them at once get in each other's way."""
    directory = Path("~/.ansible/test").expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "id_rsa.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "id_rsa.pub").exists():
            command = ["ssh-keygen", "-m", "PEM", "-q", "-t", "rsa", "-N", "", "-f", str(directory / "id_rsa")]
            subprocess.run(command, check=True)


def prepare_ansible_test() -> None:
    """Provide what ansible-test would otherwise download or make."""
    provide_get_pip()
    provide_ssh_key()


def drop_scratch_files() -> None:
    """Remove the nested directories that --local and --venv leave, which antsibull-nox cannot copy back."""
    shutil.rmtree("tests/output/.tmp", ignore_errors=True)


antsibull_nox.load_antsibull_nox_toml()

for core in ANSIBLE_CORES:
    for test, parameters in {
        "sanity": ["sanity", "--local"],
        # Most of them wait, and need no processor while they do.
        "units": ["units", "--venv", "--num-workers", "6"],
        "integration": ["integration", "--local", "--requirements", "--allow-destructive", "--continue-on-error"],
    }.items():
        antsibull_nox.add_ansible_test_session(
            name=f"{test}-{core}",
            description=f"Run ansible-test {test} with ansible-core {core}",
            ansible_test_params=[*parameters, "--color", "no"],
            default=False,
            ansible_core_version=core,
            ansible_core_source="pypi",
            callback_before=prepare_ansible_test,
            callback_after=drop_scratch_files,
        )


@nox.session
def changelog(session: nox.Session) -> None:
    """Check the changelog and its fragments."""
    session.install("antsibull-changelog == 0.36.0")
    session.run("antsibull-changelog", "lint")


@nox.session
def commits(session: nox.Session) -> None:
    """Check the subjects of the commits since the one that added .gitlint."""
    log = ["git", "log", "--diff-filter=A", "--format=%H", "--", ".gitlint"]
    try:
        added = (session.run(*log, external=True, silent=True, stderr=None) or "").split()
    except nox.command.CommandFailed:
        session.skip("git does not know this directory")
    if not added:
        session.skip(".gitlint is not committed here")
    session.install("gitlint-core == 0.19.1")
    # In a shallow clone, the oldest commit is the one that seems to have added all files.
    session.run("gitlint", "--commits", f"{added[-1]}..HEAD")


def collection_tree(session: nox.Session) -> Path:
    """Return a directory in which this checkout is importable as ``ansible_collections.netless.qga``."""
    tree = Path(session.create_tmp()).resolve()
    collection = tree / "ansible_collections" / "netless" / "qga"
    if not collection.is_symlink():
        collection.parent.mkdir(parents=True)
        collection.symlink_to(Path.cwd())
    return tree


@nox.session
def layers(session: nox.Session) -> None:
    """Check that every room imports only the rooms below it, as .importlinter lists them."""
    session.install("import-linter == 2.17")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("lint-imports", "--no-logo", "--no-cache", env=environment)


@nox.session
def guests(session: nox.Session) -> None:
    """Check the guests that the integration tests use. Needs root."""
    session.install("pytest")
    session.run("pytest", "tests/guests", *session.posargs)


@nox.session
def vm_matrix(session: nox.Session) -> None:
    """Check all tasks on every virtual machine and endpoint. Needs root, and takes an hour without KVM."""
    session.install("ansible-core == 2.21.*", "jsonschema", "libvirt-python")
    collections = collection_tree(session)
    collection = collections / "ansible_collections" / "netless" / "qga"
    matrix = {
        "vm_connection": {},
        "vm_tasks": {"VM_HOSTS": "guests:other_endpoints:!*-serial:!*-unix"},
    }
    for target, variables in matrix.items():
        session.chdir(collection / "tests" / "integration" / "targets" / target)
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            # Emulated guests share the processors: with more guests at work at once, each task takes longer.
            "ANSIBLE_FORKS": "2",
            "VM_GUESTS": "bookworm trixie qemu",
            **variables,
        }
        session.run("./runme.sh", external=True, env=environment)
