"""One real network for all tests that leave it whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.localnet import Localnet, remove_leftovers
from images.python.build import build as build_image
from tests.e2e.market import Market

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "e2e"
"""Always the same, so that a run finds and removes what one that was killed has left."""

LOGS = ROOT / "build" / "e2e-logs"


@pytest.fixture(scope="session")
def image() -> Path:
    """The image of all jobs, as an OCI layout."""
    layout = ROOT / ".cache" / "images" / "python"
    build_image(layout)
    return layout


@pytest.fixture
def market(whole_market: Market) -> Market:
    """The market with every node up, whatever the test before left."""
    whole_market.restart_dead()
    return whole_market


@pytest.fixture(scope="session")
def whole_market(image: Path) -> Iterator[Market]:
    """A chain, a provider and a submitter, all up."""
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            yield Market.open(net, image)
    finally:
        keep_logs(FOLDER)
        remove_leftovers(FOLDER)


def keep_logs(folder: Path) -> None:
    """The logs of a network's nodes, to find the cause of a failure."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*/daemon.log"):
        shutil.copyfile(log, LOGS / f"{log.parent.name}.log")
