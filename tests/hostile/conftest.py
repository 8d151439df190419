"""What the hostile runs share: default settings, real sockets, and strangers who mean harm. The long one: `make test-hostile`."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.python.build import build as build_image
from tests.field.conftest import ROOT
from tests.xnode.net.conftest import remotes

__all__ = ["remotes"]


@pytest.fixture(scope="session")
def image() -> Path:
    """The image of all jobs, as an OCI layout."""
    layout = ROOT / ".cache" / "images" / "python"
    build_image(layout)
    return layout
