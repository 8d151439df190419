"""Plain: a stranger's bytes as text that moves nothing but the line it stands on: for terminals, never for pipes."""

from __future__ import annotations

import codecs

from xnode.cli.terminal.screen import CONTROL

_KEPT = "\n\r\t\b"
"""A progress bar is drawn with these, and none of them leaves its line but downwards."""

_SHOWN = {code: shown for code, shown in CONTROL.items() if chr(code) not in _KEPT}


class PlainText:
    """Escape sequences and all else that printable() spells out shown instead of obeyed; a character may come in two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def feed(self, piece: bytes) -> bytes:
        """What to write for it."""
        return self._decoder.decode(piece).translate(_SHOWN).encode()

    def end(self) -> bytes:
        """What to write for the beginning of a character that never came whole."""
        return self._decoder.decode(b"", True).translate(_SHOWN).encode()
