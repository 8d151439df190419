"""Writer: one thing of the product that writes to the disk, and what must hold whatever becomes of its writes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.disk.bad_disk import Failure, count_calls, failing, name_failed
from xnode.errors import Permanent, Retryable, UserError

Act = Callable[[], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """act: what writes; check: raises AssertionError when what must hold does not. done: whether act has come to its end."""

    act: Act
    check: Callable[[bool], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Writer:
    """name: of what is written; make: a scene in a fresh folder. says: what may be raised beside the product's own faults.
    may_give_up: a failure may be left out without a word, because nothing is lost by it."""

    name: str
    make: Callable[[Path], Awaitable[Scene] | Scene]


async def settle(value: Any) -> Any:
    """What it gives, awaited where it must be."""
    return await value if inspect.isawaitable(value) else value


async def try_once(scene: Scene, failure: Failure | None) -> tuple[bool, str, str]:
    """(did it come to its end, what it said, which write failed)."""
    with failing(failure):
        try:
            with trio.fail_after(20):
                await settle(scene.act())
            return True, "", name_failed()
        except (Permanent, Retryable, UserError) as error:
            said = str(error)
        except OSError as error:
            assert error.filename, f"an error that does not say where: {error!r}"
            said = f"{error.filename}: {error.strerror}"
        return False, said, name_failed()


async def count_writes(writer: Writer, folder: Path) -> int:
    """How many writes it does on a good disk; it works there."""
    scene = await settle(writer.make(folder))
    before = count_calls()
    done, said, _ = await try_once(scene, None)
    assert done, said
    calls = count_calls() - before
    await settle(scene.check(True))
    return calls


async def meet(writer: Writer, folder: Path, failure: Failure) -> None:
    """The disk fails in the middle of it, and is well again afterwards."""
    scene = await settle(writer.make(folder))
    done, said, _ = await try_once(scene, failure)
    if not done:
        assert ("\n" not in said and "rror" in said) or "space" in said or "full" in said or "disk" in said, said
    await settle(scene.check(done))
    done, said, _ = await try_once(scene, None)
    assert done, f"there is room again, and it says: {said}"
    await settle(scene.check(True))
