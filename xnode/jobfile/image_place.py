"""Image place: where on this machine the image of a job file lies, when it is named by a path."""

from __future__ import annotations

import os
from pathlib import Path

from xnode.jobfile.jobfile import ImageSource


def find_place(folder: Path, text: str) -> tuple[Path, str]:
    """(file or directory, name of the image in it) of a path with or without `:NAME` behind it."""
    place = folder / Path(text).expanduser()
    if os.path.lexists(place):
        return place, ""
    path, colon, name = text.rpartition(":")
    named = folder / Path(path).expanduser()
    if colon and path and os.path.lexists(named):
        return named, name
    return place, ""


def check_place(folder: Path, source: ImageSource) -> str:
    """Why no image can lie there, or ""; a line for people."""
    if not source.path:
        return ""
    place, _ = find_place(folder, source.path)
    if place.is_dir() and not (place / "index.json").is_file():
        return f"{source.path} is not an OCI image layout (it has no index.json)"
    return "" if place.exists() else f"{source.path} was not found"
