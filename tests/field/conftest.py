"""What the field tests share. They run the product's default settings on a host with much else to do, and lose no lease.

Those of seconds run in `make test`; those marked field_long take minutes: `make test-field`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from images.python.build import build as build_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def image() -> Path:
    """The image of all jobs, as an OCI layout."""
    layout = ROOT / ".cache" / "images" / "python"
    build_image(layout)
    return layout
