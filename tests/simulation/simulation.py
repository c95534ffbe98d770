# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One simulation: random operations over a channel on which everything goes wrong, and what has to hold after each."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import typing as t
from unittest import mock

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import HeldChannel
from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.files import files
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner, server_program, warm_server

from . import model_libvirt
from .clock import VirtualClock
from .faulty_channel import FaultyChannel
from .model_guest import Kind, ModelGuest
from .model_libvirtd import ModelLibvirtd
from .operations import Operations

_OPERATIONS = 25
_CONNECT_TIMEOUT = 10.0
_REPLY_TIMEOUT = 30.0

# Small sizes, so that everything that begins at a size happens often.
_SIZES: list[tuple[t.Any, str, t.Any]] = [
    (compression, "MIN_SAVING", 500),
    (files, "_SEGMENT", 1500),
    (runner, "SLOTS", 3),
    (warm_server, "SLOTS", 3),
    # The model knows what a server does, and not its program.
    (server_program, "python_program", lambda package, files: ""),
]


class Simulation:
    """The client and the guest of one seed.

    :param seed: decides everything that happens.
    """

    def __init__(self, seed: int) -> None:
        self._random = generator = random.Random(seed)
        self._clock = VirtualClock()
        self._uses_libvirt = generator.random() < 0.3
        ids = generator.choice(["echoed", "echoed", "ignored", "refused"])
        kind = Kind(
            ids=ids,
            delimited=ids == "echoed" or generator.random() < 0.5,
            scopes=generator.random() < 0.5,
            setsid=generator.random() < 0.9,
            gzip=generator.random() < 0.9,
        )
        self._guest = ModelGuest(self._clock, kind, generator)
        self._chunk = generator.choice([64, 64, 500, 8192])
        self._medium: FaultyChannel | ModelLibvirtd
        if self._uses_libvirt:
            self._medium = ModelLibvirtd(self._guest, self._clock, generator)
        else:
            self._medium = FaultyChannel(
                self._guest, self._clock, generator, foreign_replies=ids == "echoed", chunk=self._chunk
            )

    @property
    def history(self) -> list[tuple[float, int]]:
        """The steps: when something was sent or received, and how many bytes; they are negative for received ones."""
        return self._medium.history

    def run(self) -> None:
        """Take all steps of the simulation.

        :raises AssertionError: something does not hold.
        """
        with self._clock.installed(), self._predictable(), contextlib.ExitStack() as stack:
            # What the client remembers of warm servers is that of this simulation.
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="netless-qga-simulation-"))
            stack.enter_context(mock.patch.dict(os.environ, XDG_RUNTIME_DIR=directory))
            if isinstance(self._medium, ModelLibvirtd):
                stack.enter_context(model_libvirt.installed(self._medium))
            agent = stack.enter_context(contextlib.closing(Agent(self._channel())))
            operations = Operations(agent, self._guest, self._medium, self._clock, self._random)
            for dummy in range(_OPERATIONS):
                self._medium.faults = self._random.choice([0.0, 0.0, 0.01, 0.05, 0.3])
                operations.take_one()
                operations.check_health()
                if self._random.random() < 0.2:
                    self._medium.disturb(self._random.choice(["restart", "reboot", "save", "load"]))
                elif self._random.random() < 0.1:
                    self._medium.disturb("libvirtd" if self._uses_libvirt else "reply")
                if self._random.random() < 0.1:
                    agent.close()

    def _channel(self) -> HeldChannel:
        if isinstance(self._medium, FaultyChannel):
            return StreamChannel(self._medium, connect_timeout=_CONNECT_TIMEOUT, reply_timeout=_REPLY_TIMEOUT)
        return LibvirtChannel(
            "db1",
            "qemu:///system",
            connect_timeout=_CONNECT_TIMEOUT,
            reply_timeout=_REPLY_TIMEOUT,
            chunk=self._chunk,
        )

    @contextlib.contextmanager
    def _predictable(self) -> t.Iterator[None]:
        """Let the ids of requests, and the names of spools, follow from the seed too: their lengths matter."""
        generator = random.Random(self._random.random())
        with contextlib.ExitStack() as stack:
            for target, name, value in _SIZES:
                stack.enter_context(mock.patch.object(target, name, value))
            stack.enter_context(mock.patch("secrets.randbelow", generator.randrange))
            stack.enter_context(
                mock.patch(
                    "secrets.token_hex", lambda size: generator.getrandbits(8 * size).to_bytes(size, "big").hex()
                )
            )
            yield
