"""A promise is kept over any restart, and never contradicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from sqlalchemy import Engine

from xnode.errors import Permanent, Retryable
from xnode.store.database import open_database
from xnode.store.promises import SqlPromises


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(f"sqlite:///{tmp_path}/node.db")
    yield opened
    opened.dispose()


async def test_the_first_value_stands(engine: Engine) -> None:
    promises = SqlPromises(engine)
    assert await promises.find("Verdict", b"one") is None
    assert await promises.keep("Verdict", b"one", b"yes") == b"yes"
    assert await promises.keep("Verdict", b"one", b"no") == b"yes"
    assert await promises.find("Verdict", b"one") == b"yes"
    await promises.keep("Verdict", b"after", b"no")
    await promises.keep("Another", b"one", b"other")
    assert await promises.list_values("Verdict") == (b"no", b"yes")


async def test_the_same_promise_twice_is_one_and_another_is_refused(engine: Engine) -> None:
    promises = SqlPromises(engine)
    await promises.promise("Verdict", b"one", b"yes")
    await promises.promise("Verdict", b"one", b"yes")
    with pytest.raises(Permanent, match="not signed") as caught:
        await promises.promise("Verdict", b"one", b"no")
    assert caught.value.reason_code == "promised"
    await promises.promise("Verdict", b"two", b"no")
    await promises.promise("CapacityAnswer", b"one", b"no")


async def test_a_promise_outlives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/node.db"
    first = open_database(url)
    await SqlPromises(first).promise("Verdict", b"one", b"yes")
    first.dispose()
    second = open_database(url)
    with pytest.raises(Permanent):
        await SqlPromises(second).promise("Verdict", b"one", b"no")
    second.dispose()


async def test_of_many_at_once_one_stands(engine: Engine) -> None:
    promises, kept = SqlPromises(engine), set()

    async def promise(number: int) -> None:
        kept.add(await promises.keep("Verdict", b"one", b"%d" % number))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(promise, number)
    assert len(kept) == 1


async def test_a_database_that_cannot_write_is_a_fault_and_no_promise(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/node.db"
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE promise")
    with pytest.raises(Retryable, match="promise"):
        await SqlPromises(engine).promise("Verdict", b"one", b"yes")
    engine.dispose()
