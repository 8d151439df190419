"""Control methods about the images that this node keeps."""

from __future__ import annotations

from pathlib import Path

import msgspec

from xnode.console.console import Console
from xnode.console.disk import require_room
from xnode.console.image_list import KeptImage
from xnode.console.method import NoParams, control_method
from xnode.control import views
from xnode.errors import UserError
from xnode.jobfile.jobfile import ImageSource
from xnode.jobfile.values import read_image
from xnode.node.needed import list_live_jobs


class ImportParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """path: of a layout directory, an archive, or a pipe that an archive comes through; name: what jobs may call it; platform:
    which of several."""

    path: str
    name: str = ""
    platform: str = ""
    source: str = ""


class ImageParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """image: a name, a digest, or the beginning of one."""

    image: str


@control_method("image.import")
async def import_image(console: Console, params: ImportParams) -> views.ImageRow:
    """Take an image into the blob store; durable when this answers."""
    source = ImageSource("path", path=params.path)
    if params.name and read_image(params.name).kind != "name":
        raise UserError(
            f"{params.name[:80]} is not a name for an image", where="name", hint="write it as in python-3.12"
        )
    await require_room(console)
    kept = await console.jobs.images.take(source, Path("/"), params.platform, params.name, params.source)
    return make_row(console, kept)


@control_method("image.list")
async def list_images(console: Console, _params: NoParams) -> list[views.ImageRow]:
    """The images that this node keeps, the newest first."""
    return [make_row(console, one) for one in reversed(console.jobs.images.images.all())]


@control_method("image.remove")
async def remove_image(console: Console, params: ImageParams) -> views.ImageRow:
    """Remove an image, and free what nothing else needs of it."""
    kept = await console.jobs.images.remove(params.image, lambda one: describe_users(console, one))
    return make_row(console, kept)


def make_row(console: Console, kept: KeptImage) -> views.ImageRow:
    """An image as a view."""
    return views.ImageRow(
        digest=kept.image.digest,
        names=kept.names,
        platform=kept.platform,
        size=kept.image.size_bytes,
        added_at_ns=kept.added_at_ns,
        source=kept.source,
        used_by=describe_users(console, kept),
    )


def describe_users(console: Console, kept: KeptImage) -> str:
    """The live jobs that need it, as a person may look for them; "" for none."""
    jobs = [one for one in list_live_jobs(console.loop.state) if one.job.image.digest == kept.image.digest]
    if not jobs:
        return ""
    shown = ", ".join(f"0x{one.job_hash.hex()[:8]}" for one in jobs[:3])
    return f"job {shown}" + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")
