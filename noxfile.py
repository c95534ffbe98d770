# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of the collection, one nox session each. None needs a container, or a download from anywhere but PyPI."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import antsibull_nox
import nox
import yaml

ANSIBLE_CORES = ("2.19", "2.21")
# It is also supported. The tests of every change leave it out, because a difference would be between the two above.
OTHER_ANSIBLE_CORE = "2.20"
# The next one, so that a change in how it starts modules is noticed before its release.
NEXT_ANSIBLE_CORE = "2.22"
SANITY = ["sanity", "--local"]
# Most of them wait, and need no processor while they do.
UNITS = ["units", "--venv", "--num-workers", "6"]
INTEGRATION = ["integration", "--local", "--requirements", "--allow-destructive", "--continue-on-error"]
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

for core in (*ANSIBLE_CORES, OTHER_ANSIBLE_CORE):
    for test, parameters in {
        "sanity": SANITY,
        "units": UNITS,
        "integration": INTEGRATION,
        # In an environment of their own, so that they can run next to the others.
        "vms": INTEGRATION,
    }.items():
        antsibull_nox.add_ansible_test_session(
            name=f"{test}-{core}",
            description=f"Run ansible-test {parameters[0]} with ansible-core {core}",
            ansible_test_params=[*parameters, "--color", "no"],
            default=False,
            ansible_core_version=core,
            ansible_core_source="pypi",
            callback_before=prepare_ansible_test,
            callback_after=drop_scratch_files,
        )


def add_next_core_session(test: str, parameters: list[str]) -> None:
    """Add a session with the next ansible-core. antsibull-nox does not install pre-releases."""

    @nox.session(name=f"{test}-{NEXT_ANSIBLE_CORE}", default=False, python="3.13")
    def run_next_core(session: nox.Session) -> None:
        """Run ansible-test with the next ansible-core."""
        session.install(f"ansible-core ~= {NEXT_ANSIBLE_CORE}.0b1")
        prepare_ansible_test()
        copy = Path(session.create_tmp()).resolve() / "ansible_collections" / "netless" / "qga"
        shutil.rmtree(copy, ignore_errors=True)
        ignored = (".cache", ".git", ".nox", ".venv", "__pycache__", "build", "output", "*.tar.gz")
        shutil.copytree(Path.cwd(), copy, ignore=shutil.ignore_patterns(*ignored))
        session.chdir(copy)
        # Otherwise ansible-test asks the repository around it, which ignores the copy, and finds nothing to test.
        session.run("git", "init", "--quiet", external=True)
        session.run("ansible-test", *parameters, "--color", "no", *session.posargs)


# Its pylint is installed from GitHub, which not every machine reaches. The other versions run it.
add_next_core_session("sanity", [*SANITY, "--skip-test", "pylint"])
add_next_core_session("units", UNITS)


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
def awx(session: nox.Session) -> None:
    """Check the files for AWX, with its own parts and without a container. Needs root."""
    parts = ["ansible-builder == 3.2.0", "ansible-runner == 2.4.3", "awx_plugins.interfaces == 0.0.1a5", "jinja2"]
    session.install("ansible-core == 2.21.*", *parts, "pytest")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("pytest", "-p", "no:cacheprovider", "tests/awx", *session.posargs, env=environment)


@nox.session
def eda(session: nox.Session) -> None:
    """Run the source of events in a real ansible-rulebook. Needs root, and a Java runtime."""
    session.install("ansible-core == 2.21.*", "ansible-rulebook == 1.3.2", "pytest")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("pytest", "-p", "no:cacheprovider", "tests/eda", *session.posargs, env=environment)


@nox.session(default=False)
def molecule(session: nox.Session) -> None:
    """Test a role in a virtual machine with Molecule. Needs root."""
    session.install("ansible-core == 2.21.*", "jsonschema", "libvirt-python", "molecule == 26.10.0")
    collections = collection_tree(session)
    session.chdir(collections / "ansible_collections" / "netless" / "qga")
    session.run("molecule", "test", env={"ANSIBLE_COLLECTIONS_PATH": str(collections)})


def add_core_targets_session(core: str) -> None:
    """Add the session that runs targets of one ansible-core."""

    @nox.session(name=f"core_targets-{core}", default=False)
    def core_targets(session: nox.Session) -> None:
        """Compare ansible-core's own targets in new interpreters and kept ones. Needs root, takes half an hour."""
        oldest = f"{core}.0b1" if core == NEXT_ANSIBLE_CORE else f"{core}.0"
        # passlib makes passwords for the targets' users.
        session.install(f"ansible-core ~= {oldest}", "passlib", "pytest")
        environment = {"PYTHONPATH": str(collection_tree(session))}
        session.run("pytest", "-p", "no:cacheprovider", "tests/core_targets", *session.posargs, env=environment)


for core in (*ANSIBLE_CORES, NEXT_ANSIBLE_CORE):
    add_core_targets_session(core)


def build_tarball(session: nox.Session, directory: Path) -> Path:
    """Build the collection in a directory, and return the path of the tarball."""
    session.run("ansible-galaxy", "collection", "build", "--force", "--output-path", str(directory), silent=True)
    galaxy = yaml.safe_load(Path("galaxy.yml").read_text(encoding="utf-8"))
    return directory / f"{galaxy['namespace']}-{galaxy['name']}-{galaxy['version']}.tar.gz"


@nox.session
def dist(session: nox.Session) -> None:
    """Build the tarball for Ansible Galaxy, and fail at any warning of Galaxy's importer; `-- --lint` lints it too."""
    session.install("ansible-core == 2.21.*", "ansible-lint == 26.10.1", "galaxy-importer == 0.4.44")
    tarball = build_tarball(session, Path.cwd())
    # The importer gives ansible-lint three minutes, which are too few next to other tests.
    environment = {"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": str("--lint" in session.posargs)}
    # The importer writes its result to the current directory.
    session.chdir(session.create_tmp())
    importer = ["python", "-m", "galaxy_importer.main", str(tarball)]
    log = session.run(*importer, env=environment, silent=True, log=False) or ""
    complaints = [line for line in log.splitlines() if line.startswith(("WARNING", "ERROR"))]
    if complaints:
        session.error("\n".join(["Galaxy's importer has warnings:", *complaints]))
    session.log(f"{tarball.name} is ready, and Galaxy's importer has no warning")


@nox.session
def tarball(session: nox.Session) -> None:
    """Install the tarball in a Python environment that has only ansible-core, and follow the guide. Needs root."""
    session.install("ansible-core == 2.21.*", "pytest")
    directory = Path(session.create_tmp()).resolve()
    built, alone = build_tarball(session, directory), directory / "environment"
    if not alone.exists():
        session.run("python", "-m", "venv", str(alone))
        session.run(str(alone / "bin" / "pip"), "install", "--quiet", "ansible-core == 2.21.*", external=True)
    options = ["-p", "no:cacheprovider", "--tarball", str(built), "--environment", str(alone)]
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("pytest", *options, "tests/tarball", *session.posargs, env=environment)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the site in docs/build, and fail at any warning or dead link. Needs no network once it is set up.

    `nox -s docs -- --draw` draws the pictures of the protocol again, which are otherwise only checked.
    """
    session.install("ansible-core == 2.21.*", "antsibull-docs == 2.28.0", "sphinx == 9.1.1", "sphinx-ansible-theme")
    tree = str(collection_tree(session))
    draw = ["python", "-m", "ansible_collections.netless.qga.dev.draw_protocol"]
    session.run(*draw, *([] if "--draw" in session.posargs else ["--check"]), env={"PYTHONPATH": tree})
    pages = Path(session.create_tmp()).resolve() / "pages"
    pages.mkdir(mode=0o755, exist_ok=True)
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--cleanup", "everything"]
    environment = {"ANSIBLE_COLLECTIONS_PATH": tree}
    session.run("antsibull-docs", "collection", *options, "--dest-dir", str(pages), "netless.qga", env=environment)
    # antsibull-docs copies guides only.
    shutil.copytree("docs/docsite/images", pages / "images", dirs_exist_ok=True)
    shutil.rmtree("docs/build", ignore_errors=True)
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs/site", str(pages), "docs/build")
    session.run("python", "docs/site/check_links.py", "docs/build")


@nox.session(default=False)
def guide_output(session: nox.Session) -> None:
    """Check the output that guides show, in a guest; `nox -s guide_output -- --write` writes it. Needs root."""
    session.install("ansible-core == 2.21.*", "antsibull-docs == 2.28.0", "h11")
    state = Path(session.create_tmp()).resolve() / "guest"
    sandbox = ["python", "tests/guests/sandbox.py"]
    start = ["start", "--state", str(state), "--suite", "trixie", "--while-pid", str(os.getpid())]
    endpoint = (session.run(*sandbox, *start, silent=True) or "").split()[-1]
    try:
        check = [] if "--write" in session.posargs else ["--check"]
        session.run("antsibull-docs", "ansible-output", *check, env={"ANSIBLE_QGA_ENDPOINT": endpoint})
    finally:
        session.run(*sandbox, "stop", "--state", str(state))


@nox.session(default=False)
def screenshots(session: nox.Session) -> None:
    """Check the built site on a wide and a narrow screen, and take pictures of it. Needs Chromium."""
    session.run("python", "docs/site/screenshots.py", "docs/build", "tests/output/screenshots")


@nox.session
def simulate(session: nox.Session) -> None:
    """Run the client against a model guest in virtual time: `nox -s simulate -- --seeds 1000`."""
    environment = {"PYTHONPATH": str(collection_tree(session))}
    # A minute's work for one processor.
    arguments = session.posargs or ["--steps", "250000"]
    session.run("python", "-m", "ansible_collections.netless.qga.tests.simulation", *arguments, env=environment)


@nox.session
def faults(session: nox.Session) -> None:
    """Break the channel to real agents at any byte: `nox -s faults -- --cases 10000`. Needs root."""
    # Ansible makes the modules that run in kept interpreters.
    session.install("ansible-core == 2.21.*")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("python", "-m", "ansible_collections.netless.qga.tests.faults", *session.posargs, env=environment)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """Compare how clients bear wire cases, or run one: `nox -s conformance -- --client 'COMMAND'`. Needs root."""
    session.install("ansible-core == 2.21.*", "jsonschema", "libvirt-python")
    collections = str(collection_tree(session))
    environment = {"PYTHONPATH": collections, "ANSIBLE_COLLECTIONS_PATH": collections}
    program = "ansible_collections.netless.qga.tests.conformance"
    if "--client" not in session.posargs:
        program += ".comparison"
    session.run("python", "-m", program, *session.posargs, env=environment)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz what reads foreign bytes, with the coverage of the code as a guide: `nox -s fuzz -- --seconds 3600`."""
    session.install("atheris ~= 3.0", "h11", "jsonschema")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("python", "-m", "ansible_collections.netless.qga.tests.fuzz", *session.posargs, env=environment)


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Change the framing in small ways that its tests have to notice. It takes long; `nox -s mutation -- sync.py`."""
    session.install("mutmut == 3.8.1", "hypothesis", "jsonschema", "pytest")
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("python", "-m", "ansible_collections.netless.qga.tests.mutation", *session.posargs, env=environment)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Use the real agent of each suite for long: `nox -s soak -- --calls 1000000 --programs 25000`. Needs root."""
    environment = {"PYTHONPATH": str(collection_tree(session))}
    session.run("python", "-m", "ansible_collections.netless.qga.tests.soak", *session.posargs, env=environment)


@nox.session(default=False)
def vm_faults(session: nox.Session) -> None:
    """Disturb a virtual machine in each phase of a task. Needs root, and takes an hour without KVM."""
    session.install("ansible-core == 2.21.*", "jsonschema", "libvirt-python", "pytest")
    collections = collection_tree(session)
    session.chdir(collections / "ansible_collections/netless/qga/tests/integration/targets/vm_resilience")
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(collections), "VM_FAULTS": "all"}
    session.run("./runme.sh", external=True, env=environment)


@nox.session
def vm_matrix(session: nox.Session) -> None:
    """Check all tasks on every virtual machine and endpoint. Needs root, and takes an hour without KVM."""
    session.install("ansible-core == 2.21.*", "jsonschema", "libvirt-python")
    collections = collection_tree(session)
    collection = collections / "ansible_collections" / "netless" / "qga"
    matrix = {
        "vm_connection": {"VM_ENDPOINTS": "channel|unix|tcp"},
        "vm_modules": {"PLAYBOOKS": "reading.yml diagnosing.yml"},
        "vm_roles": {"VM_ROLES": "all"},
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
