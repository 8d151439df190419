"""Every field of every view is filled by the daemon: by its own presenter, over records that a simulated market has left."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metering.units import ZERO, Amount
from tests.make.layout import make_layout
from tests.make.scene import FUNDS, Scene, make_registry, make_scene, open_consoles
from tests.make.values import ASSET
from tests.xnode.console.asking import ask
from xnode.console.console import Console
from xnode.console.method import find_methods
from xnode.control import views
from xnode.node.provider.earned import DAY_NS
from xnode.node.state import kind_of
from xnode.node.sums import EarnedDay
from xnode.store.journal import Batch

EMPTY: tuple[object, ...] = (None, "", 0, (), {}, False)

UNASKED = {
    "node.stop",
    "net.restart",
    "provider.set_price",
    "provider.drain",
    "provider.resume",
    "job.submit",
    "node.work",
    "config.diff",
    "config.reload",
} | {f"image.{act}" for act in ("import", "list", "remove")}
"""Methods whose answers have no view, or only an id, or which are asked in an order of their own."""


def list_views() -> list[type[msgspec.Struct]]:
    """Every view of xnode.control.views."""
    return [value for value in vars(views).values() if inspect.isclass(value) and issubclass(value, msgspec.Struct)]


def find_structs(value: object) -> Iterator[msgspec.Struct]:
    """Every view in an answer."""
    if isinstance(value, msgspec.Struct):
        yield value
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, list | tuple):
        for item in value:
            yield from find_structs(item)


def make_plans(folder: Path, scene: Scene) -> list[dict[str, Any]]:
    """A job whose image is sent, one whose image the provider has run already, and one that is too large."""
    make_layout(folder / "image")
    digest = scene.world.job(scene.paid).job.image.digest
    plans = (("oci:./image", "512MiB"), (f"example.org/hello@{digest}", "512MiB"), ("oci:./image", "4096GiB"))
    return [
        {
            "job": f"image: {image}\ntime_limit: 1m\nbudget: 1 OPENX\nresources: {{memory: {memory}}}\n",
            "base_dir": str(folder),
        }
        for image, memory in plans
    ]


async def ask_all(submitter: Console, provider: Console, folder: Path, scene: Scene) -> AsyncIterator[Any]:
    """The answers of every method, about every job."""
    place = make_plans(folder, scene)
    jobs = [{"job_id": one.hex()} for one in (scene.paid, scene.broken, scene.misfit, scene.running, scene.half)]
    lease = scene.world.job(scene.paid).lease_id
    assert lease is not None
    # Sorted, with what changes a job last: what is told of it then is less.
    for name in sorted(find_methods().keys() - UNASKED, key=lambda name: (name in ("job.stop", "job.fetch"), name)):
        console = provider if name.startswith("provider.") else submitter
        questions: list[dict[str, Any]] = [{}]
        if name in ("job.plan",):
            questions = place
        elif name == "provider.evidence":
            questions = [{"lease_id": lease.hex()}]
        elif name == "job.wait":
            questions = jobs[:2]
        elif name == "job.fetch":
            questions = [jobs[0], jobs[-1]]
        elif name == "provider.earnings":
            questions = [{"by": "day", "limit": 1}]
        elif name.startswith("job.") and name != "job.list":
            questions = jobs
        for params in questions:
            yield await ask(console, name, **params)
    yield await ask(provider, "node.status")
    yield await ask(provider, "node.stop_notice")
    yield await ask(submitter, "image.import", path=str(folder / "image"), name="kept", source="podman:kept")
    yield await ask(submitter, "job.submit", **place[0])
    yield await ask(submitter, "image.list")
    with submitter.jobs.images.board.show("image kept", 7) as work:
        work.add(1)
        yield await ask(submitter, "node.work")
    yield await ask(provider, "provider.set_price", prices={"gpu_hour": "1.5"})
    for name in ("drain", "status", "resume"):
        yield await ask(provider, f"provider.{name}")
    config = provider.declared.running.home.config
    config.write_text(config.read_text().replace('region = "', 'max_duration = "2h"\nregion = "'))
    for name in ("config.diff", "node.status", "config.reload"):
        yield await ask(provider, name)
    config.write_text("[")
    yield await ask(provider, "node.status")


async def test_every_field_of_every_view_is_filled_by_the_daemon(tmp_path: Path) -> None:
    filled: dict[type[msgspec.Struct], set[str]] = {}
    registry = make_registry()
    async with open_consoles(tmp_path, registry) as (submitter, provider):
        yesterday = EarnedDay(make_scene().now_ns // DAY_NS - 1, ASSET, Amount(1), Amount(1), 1, 1)
        await provider.journal.commit(Batch(records={(kind_of(EarnedDay), yesterday.key): (yesterday, False)}))
        answers = [answer async for answer in ask_all(submitter, provider, tmp_path, make_scene())]
        registry.is_away = True
        answers.append(await ask(submitter, "job.plan", **make_plans(tmp_path, make_scene())[0]))
    for view in find_structs(answers):
        names = filled.setdefault(type(view), set())
        names |= {name for name in view.__struct_fields__ if _is_filled(view, name)}
    missing = {
        view.__name__: sorted(set(view.__struct_fields__) - filled.get(view, set()))
        for view in list_views()
        if set(view.__struct_fields__) - filled.get(view, set())
    }
    assert not missing, f"nothing fills these fields: {missing}"


def _is_filled(view: msgspec.Struct, name: str) -> bool:
    value = getattr(view, name)
    (field,) = (one for one in msgspec.structs.fields(type(view)) if one.name == name)
    if field.default is None:
        # Nothing until it is known: then zero and "0" say something.
        return value is not None
    return value not in EMPTY and value not in ("0", field.default)


@pytest.mark.parametrize(("cap", "words"), [(FUNDS, ()), (ZERO, ("may use of the deposit",))])
async def test_a_plan_warns_when_the_node_may_not_use_the_deposit(
    cap: Amount, words: tuple[str, ...], tmp_path: Path
) -> None:
    registry = make_registry()
    registry.cap = cap
    async with open_consoles(tmp_path, registry) as (submitter, _provider):
        plan = await ask(submitter, "job.plan", **make_plans(tmp_path, make_scene())[0])
    assert plan.candidates and len(plan.warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, plan.warnings, strict=True))
