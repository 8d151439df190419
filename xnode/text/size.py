"""Size: a number of bytes for people."""

from __future__ import annotations

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def show_size(size_bytes: int) -> str:
    """ "512 B", "1.5 GiB", "20 GiB"."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= 1024
        if value < 1000 or unit == _UNITS[-1]:
            break
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
