"""Wait: how long something has lasted, in one number for people."""

from __future__ import annotations


def show_wait(seconds: float) -> str:
    """In seconds below two minutes, in minutes below two hours, else in hours: "40 s", "12 min", "3 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
