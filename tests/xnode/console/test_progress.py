"""Who follows a job sees how far its provider is while nothing else happens; nothing of it is kept."""

from __future__ import annotations

import dataclasses
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from tests.make.scene import make_scene, open_consoles
from xnode.console import follow
from xnode.console.method import bind_methods
from xnode.node.message import Progress
from xnode.node.records import SubmitterLease


class Provider:
    """xnode.peers.progress.ProgressReader: fetches on, and is once not to be reached."""

    def __init__(self) -> None:
        self.answers: list[Progress | None] = [
            Progress("image", 312 * 10**6, 749 * 10**6),
            None,
            Progress("unpacking the image", 0, 0),
        ]

    async def ask(self, _lease: SubmitterLease) -> Progress | None:
        if self.answers:
            return self.answers.pop(0)
        await trio.sleep_forever()
        raise AssertionError


async def test_who_follows_a_job_sees_what_its_provider_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PROGRESS_POLL_S", 0.001)
    scene = make_scene()
    async with open_consoles(tmp_path) as (console, _):
        lease = scene.lease(scene.running)
        console.loop.state = console.loop.state.put(replace(lease, status="preparing"))
        provider: Any = Provider()
        watched = dataclasses.replace(console, progress=provider)
        seen: list[str] = []
        events: Any = bind_methods(watched)["job.events"]({"job_id": scene.running.hex(), "follow": True})
        with trio.fail_after(10):
            async with aclosing(events):
                async for entry in events:
                    seen += [entry.detail] if entry.what == "progress" else []
                    if len(seen) == 2:
                        break
        assert seen == ["image 312 of 749 MB", "unpacking the image"]
