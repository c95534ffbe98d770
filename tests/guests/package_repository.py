# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A signed repository of small packages for apt, served on the loopback: ``python package_repository.py DIRECTORY``.

With a number of bytes after the directory, there is a package ``netless-large`` of this size, too.

It prints its URL when it is ready, and serves until it is ended. It is a proxy too, and has the repository under every
name of a host. ``DIRECTORY/key.gpg`` is its key, ``DIRECTORY/other.gpg`` is a key that did not sign it, and
``DIRECTORY/requests`` lists what was asked for.
"""

from __future__ import annotations

import email.utils
import functools
import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import typing as t
import urllib.parse

ARCHITECTURES = "amd64 arm64"


class Package(t.NamedTuple):
    """A package with one text file, so many random bytes, and a service if it has a command for one."""

    name: str
    version: str
    fields: str = ""
    service: str = ""
    size: int = 0


PACKAGES = [
    Package("netless-lib", "1:1.5+test1"),
    Package("netless-app", "1.0", "Depends: netless-lib (>= 1:1.0)\n"),
    Package("netless-app", "2.0", "Depends: netless-lib (>= 1:1.0)\n"),
    Package("netless-tool", "1.0", "Depends: netless-app\n"),
    Package("netless-damaged", "1.0"),
    # The name of the package that the README installs.
    Package("nginx", "1.0", "Depends: netless-lib\n", service="/bin/sleep infinity"),
]


def build(package: Package, pool: pathlib.Path) -> pathlib.Path:
    """Build a package with dpkg-deb, and return its path."""
    version = package.version.rpartition(":")[2]
    tree = pool / "tree"
    documents = tree / "usr/share" / package.name
    documents.mkdir(parents=True)
    (documents / "version").write_text(f"{package.version}\n", encoding="ascii")
    (documents / "data").write_bytes(os.urandom(package.size))
    if package.service:
        services = tree / "usr/lib/systemd/system"
        services.mkdir(parents=True)
        (services / f"{package.name}.service").write_text(f"[Service]\nExecStart={package.service}\n", encoding="ascii")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: all\n"
        f"Maintainer: netless <netless@example.com>\nDescription: a test\n{package.fields}",
        encoding="ascii",
    )
    path = pool / f"{package.name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", "-Zgzip", str(tree), str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["rm", "-r", str(tree)], check=True)
    return path


def stanza(path: pathlib.Path, root: pathlib.Path) -> str:
    """Return what the index has about a package."""
    control = subprocess.run(["dpkg-deb", "--field", str(path)], check=True, capture_output=True, text=True).stdout
    content = path.read_bytes()
    return (
        f"{control}Filename: {path.relative_to(root)}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def make_key(directory: pathlib.Path, name: str) -> dict[str, str]:
    """Make a key, export it as ``NAME.gpg``, and return the environment in which gpg signs with it."""
    home = directory / f"{name}-home"
    home.mkdir(mode=0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}
    batch = ["gpg", "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*batch, "--quick-generate-key", name, "ed25519", "sign"], check=True, env=environment)
    subprocess.run([*batch, "--output", str(directory / f"{name}.gpg"), "--export"], check=True, env=environment)
    return environment


def publish(root: pathlib.Path, environment: dict[str, str], packages: t.Iterable[Package]) -> None:
    """Build packages, and write and sign the index of the suite ``test``."""
    pool = root / "pool"
    pool.mkdir(parents=True)
    index = "\n".join(stanza(build(package, pool), root) for package in packages).encode()
    suite = root / "dists/test"
    sums = ""
    for architecture in ARCHITECTURES.split():
        name = f"main/binary-{architecture}/Packages"
        (suite / name).parent.mkdir(parents=True)
        (suite / name).write_bytes(index)
        sums += f" {hashlib.sha256(index).hexdigest()} {len(index)} {name}\n"
    release = (
        f"Suite: test\nCodename: test\nComponents: main\nArchitectures: {ARCHITECTURES}\n"
        f"Date: {email.utils.formatdate(usegmt=True)}\nSHA256:\n{sums}"
    )
    # The length stays, so that only the hash can differ.
    damaged = pool / "netless-damaged_1.0_all.deb"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    subprocess.run(
        ["gpg", "--batch", "--clearsign", "--output", str(suite / "InRelease")],
        check=True,
        input=release.encode(),
        env=environment,
    )


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a directory."""

    def translate_path(self, path: str) -> str:
        """Return the file for a path, or for a URL, as proxies get it."""
        return super().translate_path(urllib.parse.urlsplit(path).path)


def main(directory: pathlib.Path, size: int = 0) -> None:
    """Make the repository and serve it."""
    environment = make_key(directory, "key")
    make_key(directory, "other")
    root = directory / "repository"
    large = [Package("netless-large", "1.0", "Depends: netless-lib\n", size=size)] if size else []
    publish(root, environment, [*PACKAGES, *large])
    for name in ("key", "other"):
        subprocess.run(["gpgconf", "--homedir", str(directory / f"{name}-home"), "--kill", "all"], check=True)
    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # The handler writes a line for each request to standard error.
        requests = os.open(directory / "requests", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(requests, sys.stderr.fileno())
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
