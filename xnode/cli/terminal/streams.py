"""Streams: standard output and error as this process was given them: closed, on a full disk, or of an encoding that lacks our
characters; none of that is a reason to fail in the middle of a command."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

_PLAIN = {"…": "...", "×": "x", "·": "-", "⏎": " ", "→": "->", **dict.fromkeys("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "*")}
"""What our own characters become where the terminal has none of them; others' become escapes."""

_HANDLER = "xnode.plain"


class _Closed(io.RawIOBase):
    """Stands for an output that was closed before we came: what is printed is not silently lost."""

    def writable(self) -> bool:
        return True

    def write(self, _data: object, /) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def open_streams() -> None:
    """Take descriptors 0 to 2 where they are closed, lest a file of ours become one; and let any text be printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_HANDLER, _replace)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None and name == "stdout":
            sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")
        elif stream is None:
            sys.stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def leave_streams() -> None:
    """Flush what is printed; what cannot be written any more is dropped, or Python would complain once more at its end."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            drop_output(name)


def drop_output(name: str) -> None:
    """Nothing more can be written there."""
    stream = getattr(sys, name)
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
        return
    setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in text), error.end
