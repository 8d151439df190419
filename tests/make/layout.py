"""Layout: the smallest OCI image layout, for tests that only read and never run it."""

from __future__ import annotations

import io
from pathlib import Path

from images.oci import write_layout


def make_layout(folder: Path) -> None:
    """An image of one empty layer."""
    write_layout(folder, io.BytesIO(bytes(10240)), {"Cmd": ["none"]})
