# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that tests plant in plays, and the search for them."""

from __future__ import annotations

import base64
import contextlib
import pathlib
import threading
import typing as t


def forms(secret: str) -> set[bytes]:
    """Return what a text contains that contains the secret, or the secret in base64, wherever it begins there."""
    text = secret.encode("ascii")
    found = {text}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + text)
        # The first and the last characters depend on what is around the secret.
        found.add(encoded[4:-4])
    return found


class PlantedSecrets:
    """Secrets that a play uses.

    :param names: what each is used for.
    """

    def __init__(self, *names: str) -> None:
        self.values = {name: f"secret-of-{name}-5c1f0e" for name in names}
        self._forms = {name: forms(secret) for name, secret in self.values.items()}

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def leaked(self, text: bytes) -> list[str]:
        """Return the names of the secrets that a text contains."""
        return [name for name, found in self._forms.items() if any(form in text for form in found)]


class Watcher:
    """Looks at something again and again until the ``with`` block ends, and notes the secrets that it finds."""

    def __init__(self, planted: PlantedSecrets, look: t.Callable[[], t.Iterable[bytes]]) -> None:
        self._planted = planted
        self.leaked: set[str] = set()
        self.seen = 0
        """How many texts there were."""
        self._look = look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *dummy: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            for text in self._look():
                self.seen += 1
                self.leaked.update(self._planted.leaked(text))


def argument_lists() -> t.Iterator[bytes]:
    """Yield those of all processes on this machine, and in the sandboxes on it."""
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                yield (entry / "cmdline").read_bytes()
