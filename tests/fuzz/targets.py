# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The functions that an input is given to, by name. A failure is any exception that leaves one."""

from __future__ import annotations

import typing as t
from pathlib import Path

from . import forwards, framing, guest_reports, json_texts, records, replies, ssh_keys

CORPUS = Path(__file__).parent / "corpus"
"""A directory of inputs for each target: seeds, and inputs that have failed."""

TARGETS: dict[str, t.Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        framing.lines,
        framing.session,
        framing.client,
        json_texts.strict_json,
        replies.reply,
        guest_reports.state_file,
        guest_reports.job_state,
        guest_reports.program_output,
        records.freeze_record,
        records.warm_record,
        ssh_keys.ssh_keys,
        forwards.streams,
        forwards.proxy_request,
    )
}
