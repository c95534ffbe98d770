# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mutants of the framing that survive, and why each of them is no gap in the tests."""

from __future__ import annotations

_AS_FALSE = "Only its truth matters, and None is as false."
_CODEC = "Python ignores the case of a codec's name."
_SET_BY_SYNC = "A sync sets it, and nothing that depends on it is done before the first one."
_NO_QUOTES = "What stands for an escape only has to be without quotes and brackets."

_DUMPS = 'strict_json.py: dumps: return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii") -> '
_ESCAPES = (
    "strict_json.py: _check_depth: "
    r"""for match in _QUOTE_OR_BRACKET.finditer(text.replace("\\\\", "").replace('\\"', "")): -> """
)
_FIND = "line_decoder.py: LineDecoder._find: if self._next.get(byte, -1) < self._position: -> "

EXPLAINED: dict[str, str] = {
    f"{_FIND}if self._next.get(byte, -2) < self._position: (1)": "Both are before each position.",
    f"{_FIND}if self._next.get(byte, -1) <= self._position: (1)": (
        "The piece is searched again from the same position, and the result is the same."
    ),
    "line_decoder.py: LineDecoder._collect: elif stop > self._position: -> elif stop >= self._position: (1)": (
        "A part that is empty adds nothing to a line."
    ),
    (
        "session.py: Session.__init__: self._last_number_before_sync = self._last_number -> "
        "self._last_number_before_sync = None (1)"
    ): _SET_BY_SYNC,
    "session.py: Session.__init__: self._ended = False -> self._ended = None (1)": _AS_FALSE,
    'strict_json.py: decode: return data.decode("utf-8") -> return data.decode("UTF-8") (1)': _CODEC,
    f'{_DUMPS}return json.dumps(value, separators=(",", ":"), allow_nan=None).encode("ascii") (1)': _AS_FALSE,
    f'{_DUMPS}return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ASCII") (1)': _CODEC,
    'strict_json.py: _check_text: value.encode("utf-8") -> value.encode("UTF-8") (1)': _CODEC,
    "strict_json.py: _check_size: if brackets > max_depth: -> if brackets >= max_depth: (1)": (
        "The depth is checked although so few brackets cannot exceed it."
    ),
    "strict_json.py: _check_depth: in_string = False -> in_string = None (1)": _AS_FALSE,
    _ESCAPES
    + r"""for match in _QUOTE_OR_BRACKET.finditer(text.replace("\\\\", "XXXX").replace('\\"', "")): (1)""": _NO_QUOTES,
    _ESCAPES
    + r"""for match in _QUOTE_OR_BRACKET.finditer(text.replace("\\\\", "").replace('\\"', "XXXX")): (1)""": _NO_QUOTES,
    'strict_json.py: _check_depth: elif character in "[{": -> elif character in "XX[{XX": (1)': (
        "The characters that are looked at are quotes and brackets."
    ),
    "sync.py: Sync.__init__: self.echoes_ids = False -> self.echoes_ids = None (1)": _SET_BY_SYNC,
    "sync.py: Sync.__init__: self.echoes_ids = False -> self.echoes_ids = True (1)": _SET_BY_SYNC,
    "sync.py: Sync.__init__: self._sync_id = 0 -> self._sync_id = None (1)": _SET_BY_SYNC,
    "sync.py: Sync.__init__: self._sync_id = 0 -> self._sync_id = 1 (1)": _SET_BY_SYNC,
    "sync.py: Sync.__init__: self._id_sent = 0 -> self._id_sent = None (1)": _SET_BY_SYNC,
    "sync.py: Sync.__init__: self._id_sent = 0 -> self._id_sent = 1 (1)": _SET_BY_SYNC,
    (
        "sync.py: Sync.__init__: self._marks: tuple[bytes, ...] = () -> self._marks: tuple[bytes, ...] = None (1)"
    ): _SET_BY_SYNC,
    "sync.py: Sync.read: self._knows_delimited = False -> self._knows_delimited = None (1)": _AS_FALSE,
    "sync.py: Sync.read: self._sends_id = False -> self._sends_id = None (1)": _AS_FALSE,
}
"""A mutant as the report names it, and the reason."""
