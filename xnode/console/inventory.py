"""Inventory: the list of what a job left, as views."""

from __future__ import annotations

import trio

from scheduler.outputs import Entry, FileEntry, FolderEntry, Inventory, LinkEntry, show_path
from xnode.console.console import Console
from xnode.control import views
from xnode.node.records import SubmitterJob
from xnode.peers.output_taker import make_inventory
from xnode.text.hex import to_hex


async def read_inventory_of(console: Console, job: SubmitterJob) -> Inventory:
    """What is known of the job's outputs: the list that came, or what a version up to 0.2 noted."""
    inventory = job.here.inventory if job.here else None
    if inventory is None or not console.outputs.blobs.has(inventory):
        return make_inventory(job.outputs)
    return await trio.to_thread.run_sync(console.outputs.read, inventory)


def make_row(console: Console, entry: Entry) -> views.OutputRow:
    """One line of the list."""
    match entry:
        case FileEntry(blob=blob):
            blobs = console.outputs.blobs
            return views.OutputRow(
                path=show_path(entry.path),
                sha256=to_hex(blob.sha256),
                size=blob.size_bytes,
                file=str(blobs.path(blob.sha256)) if blobs.has(blob) else "",
                executable=entry.executable,
                mtime_ns=entry.mtime_ns,
            )
        case LinkEntry():
            return views.OutputRow(show_path(entry.path), kind="link", target=show_path(entry.target))
        case FolderEntry():
            return views.OutputRow(show_path(entry.path), kind="folder")
