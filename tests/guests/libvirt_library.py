# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every stand-in for the Python library libvirt has: the numbers of its errors and states, and its error."""

from __future__ import annotations

CODES = {
    "VIR_ERR_INTERNAL_ERROR": 1,
    "VIR_ERR_NO_SUPPORT": 3,
    "VIR_ERR_INVALID_ARG": 8,
    "VIR_ERR_OPERATION_FAILED": 9,
    "VIR_ERR_OPERATION_DENIED": 29,
    "VIR_ERR_SYSTEM_ERROR": 38,
    "VIR_ERR_NO_DOMAIN": 42,
    "VIR_ERR_AUTH_FAILED": 45,
    "VIR_ERR_OPERATION_INVALID": 55,
    "VIR_ERR_OPERATION_TIMEOUT": 68,
    "VIR_ERR_ARGUMENT_UNSUPPORTED": 74,
    "VIR_ERR_OPERATION_UNSUPPORTED": 84,
    "VIR_ERR_AGENT_UNRESPONSIVE": 86,
    "VIR_ERR_ACCESS_DENIED": 88,
}
"""The codes of errors that every supported libvirt has. They are from virterror.h."""
NEWER_CODES = {"VIR_ERR_AGENT_COMMAND_TIMEOUT": 112, "VIR_ERR_AGENT_COMMAND_FAILED": 113}
"""The codes that only newer ones have."""
STATES = {
    "VIR_DOMAIN_PAUSED": 3,
    "VIR_DOMAIN_SHUTOFF": 5,
    "VIR_DOMAIN_CRASHED": 6,
    "VIR_DOMAIN_PMSUSPENDED": 7,
}
"""The states of domains. They are from libvirt-domain.h."""


class LibvirtError(Exception):
    """libvirt.libvirtError."""

    def __init__(self, code: int, message: str = "says libvirt") -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def get_error_code(self) -> int:
        """Return the code, one of virterror.h."""
        return self.code

    def get_error_message(self) -> str:
        """Return the text."""
        return self.message
