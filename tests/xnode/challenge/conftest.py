"""A world of one challenged node and its verifiers, with short waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim.challenging import World
from xnode.backoff import Backoff
from xnode.challenge import exchange, inquiry, prover, verifier, watch


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for module in (prover, verifier, exchange, watch):
        monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setattr(prover, "LEAST_LOOK_S", 0.02)
    monkeypatch.setattr(watch, "LEAST_LOOK_S", 0.02)
    monkeypatch.setattr(watch, "RETRY", Backoff(0.1, 0.1))
    monkeypatch.setattr(watch, "COUNTS_S", 0.05)
    monkeypatch.setattr(verifier, "DRAW_STEP_S", 0.2)
    monkeypatch.setattr(inquiry, "AGAIN_S", 0.02)
    monkeypatch.setattr(exchange, "RECORD_STEP_S", 0.2)
    made = World.make(tmp_path)
    yield made
    made.close()
