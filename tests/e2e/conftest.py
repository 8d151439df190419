"""One real network for all tests that leave it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.localnet import Localnet, remove_leftovers
from images.python.build import build as build_image
from tests.e2e.market import Market

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "e2e"
"""Always the same, so that a run finds and removes what one that was killed has left."""


@pytest.fixture(scope="session")
def image() -> Path:
    """The image of all jobs, as an OCI layout."""
    layout = ROOT / ".cache" / "images" / "python"
    build_image(layout)
    return layout


@pytest.fixture(scope="session")
def market(image: Path) -> Iterator[Market]:
    """A chain, a provider and a submitter, all up."""
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            yield Market(net, image)
    finally:
        remove_leftovers(FOLDER)
