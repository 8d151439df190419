"""Told: words of a stranger, as they may be kept in our records and shown on a terminal."""

from __future__ import annotations

MAX_TOLD_CHARS = 500
"""A sentence with its reason; a peer may send a megabyte."""

MAX_CODE_CHARS = 64


def cut_told(text: str, most: int = MAX_TOLD_CHARS) -> str:
    """At most so many characters, all of which print."""
    short = text if len(text) <= most else text[: most - 3] + "..."
    return short if short.isprintable() else "".join(one if one.isprintable() else "?" for one in short)
