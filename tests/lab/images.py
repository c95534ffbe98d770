# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images of Debian suites whose agents listen on every channel of the lab, and the kernels to boot them.

Building an image needs root and mmdebstrap. It is built once, and kept in
``${XDG_CACHE_HOME:-~/.cache}/netless-qga/images`` under a name that changes with the recipe. The recipe includes every
file of ``guest/``, which is copied into the image.
"""

from __future__ import annotations

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

from ..guests import trees

SUITES = ("bookworm", "trixie")

_GUEST_FILES = pathlib.Path(__file__).resolve().parent / "guest"
_PACKAGES = (
    "acl",
    "dbus",
    "iproute2",
    "kmod",
    "linux-image-cloud-amd64",
    "openssh-server",
    "passwd",
    "procps",
    "python3",
    # Ansible's apt module would otherwise try to install it.
    "python3-apt",
    "qemu-guest-agent",
    "sudo",
    "systemd-sysv",
    "udev",
    # It contains hwclock, without which agents before QEMU 9 do not set the time.
    "util-linux-extra",
)
# These timers are masked: a clock that jumps past the time of a timer would start it at once.
_TIMERS = "apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim systemd-tmpfiles-clean"
_CUSTOMIZE = f"""
set -eu
chroot "$1" systemctl enable netless-agent-serial.service
chroot "$1" systemctl disable ssh.service
for timer in {_TIMERS}; do
    chroot "$1" systemctl mask "$timer.timer"
done
{trees.ACCOUNTS}"""
_OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    f"--include={','.join(_PACKAGES)}",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    f"--customize-hook={_CUSTOMIZE}",
)
_CONTAINED = ("unshare", "--mount-proc", "--pid", "--fork", "--kill-child")
_DISK_SIZE = "4G"
"""The virtual size; only what is written takes space."""


@dataclass(frozen=True)
class Image:
    """A bootable guest. Its disk is a base for overlays, and is built again if it was written to."""

    directory: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        """The qcow2 disk, with one ext4 filesystem and no partition table."""
        return self.directory / "disk.qcow2"

    @property
    def version(self) -> str:
        """A version that changes if the disk is built again or written to, as a block job of a guest can do."""
        return str(self.disk.stat().st_mtime_ns)

    @property
    def is_intact(self) -> bool:
        """Whether the image exists and is as it was built."""
        try:
            return self.version == (self.directory / "version").read_text(encoding="ascii")
        except FileNotFoundError:
            return False

    @property
    def kernel(self) -> pathlib.Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> pathlib.Path:
        return self.directory / "initrd.img"


def image_of(suite: str) -> Image:
    """Return the image of ``suite``, which exists once :func:`build` has built it."""
    recipe = hashlib.sha256("\0".join((suite, _DISK_SIZE, *_OPTIONS)).encode())
    for file in sorted(path for path in _GUEST_FILES.rglob("*") if path.is_file()):
        recipe.update(b"\0%s\0%s" % (bytes(file.relative_to(_GUEST_FILES)), file.read_bytes()))
    return Image(trees.cache_directory().with_name("images") / f"{suite}-{recipe.hexdigest()[:12]}")


def build(suite: str) -> Image:
    """Build the image of ``suite`` unless it exists. Other processes may call this at the same time.

    :raises RuntimeError: a program failed; the message ends with its output.
    """
    image = image_of(suite)
    image.directory.parent.mkdir(parents=True, exist_ok=True)
    partial = image.directory.with_suffix(".partial")
    with open(image.directory.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.is_intact:
            shutil.rmtree(image.directory, ignore_errors=True)
            # A killed builder may have left this. Nothing is mounted there, since it mounts in a namespace of its own.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                _build_in(partial, suite, lock.fileno())
                partial.rename(image.directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return image


def _build_in(directory: pathlib.Path, suite: str, lock: int) -> None:
    image, root, raw = Image(directory), directory / "root", directory / "disk.raw"
    mirror = trees.debian_mirror()
    # This is not part of the recipe, which has to be the same wherever these files are.
    copy = f"--customize-hook=cp --recursive --no-preserve=all '{_GUEST_FILES}/.' \"$1\""
    with trees.report_step(suite, "Install Debian, a kernel and the guest agent for a disk", "two minutes"):
        _run("mmdebstrap", copy, *_OPTIONS, suite, str(root), *([mirror] if mirror else []), lock=lock)
    (kernel,), (initrd,) = root.glob("boot/vmlinuz-*"), root.glob("boot/initrd.img-*")
    kernel.rename(image.kernel)
    initrd.rename(image.initrd)
    with trees.report_step(suite, "Write a filesystem", "ten seconds"):
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(raw), _DISK_SIZE, lock=lock)
    with trees.report_step(suite, "Convert it to the disk of a virtual machine", "five seconds"):
        _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(image.disk), lock=lock)
    (directory / "version").write_text(image.version, encoding="ascii")
    raw.unlink()
    shutil.rmtree(root)


def _run(*command: str, lock: int) -> None:
    """Run a program that ends with this process in any case, along with its processes and mounts.

    :param lock: a file descriptor of the lock, which the program holds until it ends.
    :raises RuntimeError: the program failed.
    """
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *_CONTAINED, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=[lock],
    ) as process:
        try:
            output, dummy = process.communicate()
        except BaseException:
            process.kill()
            # This returns when the last of its processes has ended.
            process.communicate()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n" + "\n".join(output.splitlines()[-20:]))
