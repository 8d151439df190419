"""Pair: one provider and one submitter on a local chain, for benches of the running daemon."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.localnet import Localnet, Node, ProviderPlan
from images.python.build import build as build_image
from xnode.errors import UserError

PLAN = ProviderPlan(
    "provider", "eu", {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"}, {"vcpus": 1.0, "memory": "1GiB", "disk": "1GiB"}
)
DEPOSIT = "1000"

_OFFER_WAIT_S = 60.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Pair:
    """Both are up, and the submitter knows the provider's offer."""

    folder: Path
    provider: Node
    submitter: Node


@contextmanager
def open_pair(say: Callable[[str], None]) -> Iterator[Pair]:
    """Everything is ended, and its folder gone, when this is left."""
    say("starting a chain, a provider and a submitter")
    with tempfile.TemporaryDirectory(prefix="xnode-bench-") as folder, Localnet(Path(folder) / "net", say) as net:
        net.start_chain()
        provider = net.add_provider(PLAN)
        net.start(provider)
        submitter = net.add_submitter("submitter", DEPOSIT, net.bootstrap_of(provider))
        net.start(submitter)
        _wait_offer(submitter)
        yield Pair(net.folder, provider, submitter)


def _wait_offer(submitter: Node) -> None:
    end = time.monotonic() + _OFFER_WAIT_S
    while not submitter.control.call("offer.list"):
        if time.monotonic() > end:
            raise UserError("the provider's offer was not found", where=str(submitter.home.log))
        time.sleep(_LOOK_EVERY_S)


def find_image() -> Path:
    """The demo's image as an OCI layout, built the first time."""
    layout = Path(".cache/images/python").absolute()
    build_image(layout)
    return layout
