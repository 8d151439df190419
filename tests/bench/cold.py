"""Bench of a cold start's bytes: an image and an input of 1 GB from a submitter's disk onto a provider's, over libp2p.

python -m tests.bench.run --only cold

XNODE_BENCH_COLD_MIB sets another size, for a first look.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tarfile import TarInfo
from typing import Any, BinaryIO

import trio

from images.oci import write_layout, write_tar
from scheduler.job import Blob
from tests.bench.row import Row, show_times
from tests.xnode.net.remote import make_settings, start_remote
from xnode.effects.layouts import LayoutStore
from xnode.net.blobs import BlobStore
from xnode.net.edge import open_net
from xnode.net.identity import node_address_of
from xnode.runtime.oci_layout import blob_path, read_layout
from xnode.runtime.oci_manifest import digest_of
from xnode.runtime.podman.engine import PodmanEngine

SIZE_MIB = int(os.environ.get("XNODE_BENCH_COLD_MIB", "1024"))
FILE_MIB = 16
NAMESPACE = "cold"


def run(say: Callable[[str], None] = print) -> list[Row]:
    """The image beside podman's own pull of the same layout, the input beside cp."""
    with tempfile.TemporaryDirectory(prefix="xnode-bench-", dir=Path.cwd() / ".cache") as name:
        folder = Path(name)
        layout = _make_layout(folder / "layout")
        data = folder / "input"
        with data.open("wb") as file:
            for _ in range(SIZE_MIB // FILE_MIB):
                file.write(secrets.token_bytes(FILE_MIB << 20))
        os.sync()
        times: dict[str, float] = trio.run(_measure, folder, layout, data, say)
        times["cp"] = _time(lambda: _copy_durably(data, folder / "copy"))
        times["pull"] = _time_pull(folder, layout)
    size = f"{SIZE_MIB / 1024:g} GiB"
    image = times["image: submit"] + times["image: fetch"] + times["image: import"]
    put = times["input: submit"] + times["input: fetch"]
    return [
        Row(f"image of {size}, cold, from a submitter's disk into the provider's engine", _describe(times, "image", image),
            f"`podman pull` of the same layout: {times['pull']:.1f} s", show_times(image / times["pull"])),
        Row(f"input of {size}, cold, from disk to disk", _describe(times, "input", put),
            f"`cp` and fsync: {times['cp']:.1f} s", show_times(put / times["cp"])),
    ]  # fmt: skip


async def _measure(folder: Path, layout: Path, data: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Seconds by step."""
    times: dict[str, float] = {}
    secret, image = secrets.token_bytes(32), read_layout(layout)
    nothing: Any = None
    submitter = BlobStore(folder / "submitter", nothing)
    remote = start_remote(blobs=str(folder / "submitter"), readers=[node_address_of(secret).hex()])
    engine = PodmanEngine(folder / "engine", NAMESPACE)
    await engine.check()
    try:
        async with open_net(make_settings(secret=secret), time.time_ns) as net:
            provider = BlobStore(folder / "provider", net.stream)

            async def submit(what: str, sources: list[Path]) -> list[Blob]:
                began = time.monotonic()
                blobs = [await submitter.add_file(source) for source in sources]
                times[f"{what}: submit"] = time.monotonic() - began
                began = time.monotonic()
                for blob in blobs:
                    await provider.fetch(remote.peer, blob, lambda _done: None)
                times[f"{what}: fetch"] = time.monotonic() - began
                say(f"{what}: {times[f'{what}: submit']:.1f} s to submit, {times[f'{what}: fetch']:.1f} s to fetch")
                return blobs

            await submit("input", [data])
            await submit("image", [blob_path(layout, digest_of(blob)) for blob in image.blobs])
            began = time.monotonic()
            async with LayoutStore(folder / "layouts", provider).open_layout(image) as made:
                await engine.import_image(image, made)
            times["image: import"] = time.monotonic() - began
            say(f"image: {times['image: import']:.1f} s to import")
    finally:
        remote.end()
        await engine.erase()
    return times


def _make_layout(into: Path) -> Path:
    """An image of files that do not pack well, as models and libraries do not."""
    layer = io.BytesIO()

    def entries() -> Iterator[tuple[TarInfo, BinaryIO]]:
        for number in range(SIZE_MIB // FILE_MIB):
            info = TarInfo(f"data/{number}")
            info.size = FILE_MIB << 20
            yield info, io.BytesIO(secrets.token_bytes(info.size))

    write_tar(layer, entries())
    layer.seek(0)
    write_layout(into, layer, {"Cmd": ["none"]})
    return into


def _time_pull(folder: Path, layout: Path) -> float:
    """podman's own, into a store of its own on the same disk. By its name in the folder: podman makes an image name of it."""
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    store = ["podman", "--root", str(folder / "own"), "--runroot", str(folder / "own-run")]
    try:
        pull = [*store, "pull", "--quiet", f"--signature-policy={folder}/policy.json", f"oci:{layout.name}"]
        return _time(lambda: subprocess.run(pull, check=True, capture_output=True, cwd=folder))
    finally:
        subprocess.run([*store, "rmi", "--all", "--force"], check=False, capture_output=True)


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _time(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _describe(times: dict[str, float], what: str, total: float) -> str:
    steps = [(name.partition(": ")[2], spent) for name, spent in times.items() if name.startswith(f"{what}: ")]
    return f"{total:.1f} s ({', '.join(f'{name} {spent:.1f}' for name, spent in steps)})"
