# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws the pictures of the guide to the protocol, from the code that they show.

``protocol_states.svg`` has the tables in ``framing/state.py``: only the places of states and labels are chosen here.
``protocol_resync.svg`` has what a session sends, and what it makes of the lines that it receives. ``nox -s docs``
checks the pictures, and ``nox -s docs -- --draw`` draws them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, Discarded, Event, Synced
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import ACTIONS, INPUTS, Action, Input, State

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "docsite" / "images"

Point = tuple[float, float]

_BOX_WIDTH, _BOX_HEIGHT = 130, 44
_PLACES: dict[State, Point] = {
    State.NEVER_SYNCED: (95, 250),
    State.SYNCING: (355, 90),
    State.OUT_OF_SYNC: (355, 410),
    State.IDLE: (560, 250),
    State.WAITING: (800, 250),
    State.CLOSED: (1040, 250),
}
"""The middle of each state's box."""
_ARROWS: dict[tuple[State, State], tuple[str, Point]] = {
    (State.NEVER_SYNCED, State.SYNCING): ("M 95 228 C 95 140, 180 90, 284 90", (165, 135)),
    (State.NEVER_SYNCED, State.OUT_OF_SYNC): ("M 95 272 C 95 360, 180 410, 284 410", (165, 375)),
    (State.SYNCING, State.SYNCING): ("M 325 68 C 315 25, 395 25, 387 62", (355, 28)),
    (State.SYNCING, State.IDLE): ("M 410 112 C 450 140, 500 180, 536 222", (515, 165)),
    (State.SYNCING, State.OUT_OF_SYNC): ("M 315 112 L 315 382", (315, 225)),
    (State.OUT_OF_SYNC, State.SYNCING): ("M 375 388 L 375 118", (375, 285)),
    (State.OUT_OF_SYNC, State.OUT_OF_SYNC): ("M 325 432 C 315 475, 395 475, 387 438", (355, 478)),
    (State.IDLE, State.SYNCING): ("M 515 228 C 480 195, 430 145, 392 117", (425, 190)),
    (State.IDLE, State.OUT_OF_SYNC): ("M 545 272 C 520 330, 470 380, 425 400", (515, 335)),
    (State.IDLE, State.WAITING): ("M 625 238 L 729 238", (680, 222)),
    (State.WAITING, State.IDLE): ("M 735 264 L 631 264", (680, 284)),
    (State.WAITING, State.SYNCING): ("M 800 228 C 790 110, 600 85, 426 88", (690, 112)),
    (State.WAITING, State.OUT_OF_SYNC): ("M 800 272 C 790 395, 600 420, 426 414", (690, 393)),
    (State.WAITING, State.WAITING): ("M 845 228 C 890 175, 930 205, 870 240", (868, 178)),
    (State.CLOSED, State.CLOSED): ("M 1010 272 C 1000 320, 1080 320, 1072 278", (1040, 330)),
}
"""The path of each arrow, and the middle of its label."""
_END_ARROW = "M 945 250 L 969 250"
_END_LABEL = (957, 232)
_FRAME = (15, 5, 930, 490)

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" \
font-size="{size}">
<title>{title}</title>
<style>
.ours {{ stroke: #1a5fb4; fill: none }} text.ours {{ stroke: #fff; fill: #1a5fb4 }}
.theirs {{ stroke: #a51d2d; fill: none; stroke-dasharray: 6 3 }} text.theirs {{ stroke: #fff; fill: #a51d2d }}
.label {{ stroke-width: 5; stroke-dasharray: none !important; paint-order: stroke; text-anchor: middle }}
.bytes {{ font-family: monospace; font-size: 13px }}
</style>
<defs>
<marker id="ours" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">\
<path d="M 0 0 L 8 4 L 0 8 z" fill="#1a5fb4"/></marker>
<marker id="theirs" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">\
<path d="M 0 0 L 8 4 L 0 8 z" fill="#a51d2d"/></marker>
</defs>
<rect width="{width}" height="{height}" fill="#fff"/>
"""


def _labels(source: State, target: State) -> list[tuple[str, str]]:
    """Return who leads from one state to another, and how."""
    actions = [("ours", action.value) for action in Action if ACTIONS[source].get(action) is target]
    inputs = [("theirs", received.value) for received in Input if INPUTS[source].get(received) is target]
    return actions + inputs


def _arrow(path: str, kind: str) -> str:
    return f'<path class="{kind}" stroke-width="1.6" marker-end="url(#{kind})" d="{path}"/>\n'


def _text(place: Point, lines: list[tuple[str, str]]) -> str:
    x, y = place
    top = y + 5 - 9 * (len(lines) - 1)
    return "".join(
        f'<text class="label {kind}" x="{x:g}" y="{top + 18 * number:g}">{escape(label)}</text>\n'
        for number, (kind, label) in enumerate(lines)
    )


def draw_states() -> str:
    """Return the picture of the states.

    :raises ValueError: the tables have something for which there is no place here, or that is drawn differently.
    """
    arrows, labels = "", ""
    for source in State:
        for target in State:
            found = _labels(source, target)
            if target is State.CLOSED and source is not State.CLOSED:
                # One arrow leads there from all other states.
                if found != [("theirs", Input.END.value)]:
                    raise ValueError(f"not only the end of the channel leads from {source} to {target}")
            elif bool(found) != ((source, target) in _ARROWS):
                raise ValueError(f"there is an arrow from {source} to {target} in the tables or here, and not in both")
            elif found:
                path, place = _ARROWS[source, target]
                arrows += _arrow(path, found[0][0])
                labels += _text(place, found)
    x, y, width, height = _FRAME
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="12" fill="#f6f5f4" stroke="#9a9996"/>\n'
    end = _arrow(_END_ARROW, "theirs") + _text(_END_LABEL, [("theirs", Input.END.value)])
    boxes = "".join(_box(state) for state in State)
    legend = _text((110, 520), [("ours", "what the session does")])
    legend += _text((620, 520), [("theirs", "what it receives; the end can come in every state in the frame")])
    head = _HEAD.format(width=1140, height=540, size="15px", title="The states of a session")
    return f"{head}{frame}{arrows}{end}{boxes}{labels}{legend}</svg>\n"


def _box(state: State) -> str:
    x, y = _PLACES[state]
    left, top = x - _BOX_WIDTH / 2, y - _BOX_HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="#fff" '
        f'stroke="#3d3846" stroke-width="1.6"/>\n'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" font-weight="bold">{escape(state.value)}</text>\n'
    )


_OWN_ID = 7145802063117264539
_EARLIER_ID = 2200437791350024861
_RECEIVED: list[tuple[bytes, str]] = [
    (b'{"return": {"pid": 4711}}\n', "the reply to an earlier client"),
    (b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n', "the agent forgets half a request"),
    (b'\xff{"return": %d, "id": %d}\n' % (_EARLIER_ID, _EARLIER_ID), "the reply to an earlier client's sync"),
    (b'\xff{"return": %d, "id": %d}\n' % (_OWN_ID, _OWN_ID), "the reply to this sync"),
]
"""The lines that come after the sync was sent, and where they come from."""


def _what(events: list[Event], state: State) -> str:
    """Return what a session made of a line."""
    for event in events:
        if isinstance(event, Synced):
            return f"in sync; {event.discarded} bytes were discarded"
        if isinstance(event, Answer):
            return "the answer to the request"
        if isinstance(event, Discarded):
            return f"discarded: {event.reason}"
    return f"discarded, still {state.value}"


def resync() -> Iterator[tuple[str, bytes, str, str]]:
    """Run a session, and yield what goes over the wire: who sends it, the bytes, a comment, and what it means."""
    session = Session(random_id=lambda: _OWN_ID)
    yield "ours", session.sync(), "a sync", session.state.value
    for line, comment in _RECEIVED:
        session.receive_data(line)
        yield "theirs", line, comment, _what(list(iter(session.next_event, None)), session.state)
    request = session.prepare("guest-ping")
    yield "ours", session.send(request), "the first request", session.state.value
    reply = b'{"return": {}, "id": %d}\n' % request.number
    session.receive_data(reply)
    yield "theirs", reply, "its reply", _what(list(iter(session.next_event, None)), session.state)


def draw_resync() -> str:
    """Return the picture of a resync."""
    left, right, body, y = 40, 940, "", 55
    for sender, data, comment, meaning in resync():
        shown = data.replace(b"\xff", b"0xFF ").decode("ascii").strip()
        start, end = (left + 4, right - 8) if sender == "ours" else (right - 4, left + 8)
        body += f'<text x="{left + 18}" y="{y}" class="bytes">{escape(shown)}</text>\n'
        body += _arrow(f"M {start} {y + 12} L {end} {y + 12}", sender)
        color = "#1a5fb4" if sender == "ours" else "#a51d2d"
        body += f'<text x="{left + 18}" y="{y + 32}" fill="{color}">{escape(comment)}</text>\n'
        body += f'<text x="{right - 18}" y="{y + 32}" text-anchor="end" font-weight="bold">{escape(meaning)}</text>\n'
        y += 72
    ends = f'<text x="{left - 15}" y="22" font-weight="bold">netless.qga</text>\n'
    ends += f'<text x="{right + 15}" y="22" text-anchor="end" font-weight="bold">agent</text>\n'
    for x in (left, right):
        ends += f'<line x1="{x}" y1="32" x2="{x}" y2="{y - 22}" stroke="#3d3846" stroke-width="1.6"/>\n'
    head = _HEAD.format(width=980, height=y - 10, size="14px", title="A resync on the wire")
    return f"{head}{ends}{body}</svg>\n"


PICTURES = {"protocol_states.svg": draw_states, "protocol_resync.svg": draw_resync}


def main(arguments: list[str]) -> int:
    """Draw the pictures, or check them with ``--check``, and return the exit status."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the guide to the protocol.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture differs")
    check = parser.parse_args(arguments).check
    status = 0
    for name, draw in PICTURES.items():
        path, drawn = IMAGES / name, draw()
        if not check:
            path.write_text(drawn, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != drawn:
            print(f"{path.name} differs from the code: draw it with nox -s docs -- --draw", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
