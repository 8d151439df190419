"""First: the job file that `xnode job init` writes, about an image that is there."""

from __future__ import annotations

import shlex
from pathlib import Path

from xnode.cli.terminal.screen import say
from xnode.control.client import Control
from xnode.durable import replace_file
from xnode.errors import ExitCode, UserError
from xnode.jobfile.image_place import check_place
from xnode.jobfile.read import EXAMPLE_IMAGE, make_example, validate_jobfile

BESIDE = (EXAMPLE_IMAGE, "./image.tar")
"""Where an image lies that a person has put beside the job file."""


def write_first(control: Control, file: Path, image: str | None, force: bool) -> None:
    """Write the file and say what is next. Raises UserError, and writes nothing, for an image that no job file can name."""
    if (file.exists() or file.is_symlink()) and not force:
        raise UserError("exists already", where=str(file), hint="use --force", code=ExitCode.CONFLICT)
    found = _find_image(control, file.absolute().parent) if image is None else image
    text = make_example(found or EXAMPLE_IMAGE) if image is None else make_example(image)
    read = validate_jobfile(text, str(file))
    if isinstance(read, list):
        raise UserError("\n".join(f"--image: {one.text}" + (f"\nhint: {one.hint}" if one.hint else "") for one in read))
    wrong = check_place(file.absolute().parent, read.image) if image is not None else ""
    if wrong:
        raise UserError(wrong, where="--image", hint="`xnode image import podman:NAME` keeps one to name")
    replace_file(file, text)
    name = shlex.quote(str(file))
    if found:
        say(f"wrote {file}, about the image {found}; try it with: xnode job plan {name}")
        return
    say(f"wrote {file}; it names {EXAMPLE_IMAGE}, which is not there yet")
    say(f"hint: `xnode image import podman:NAME` keeps an image; then: xnode job init --force {name}")


def _find_image(control: Control, folder: Path) -> str:
    """The newest image that the node keeps, else one beside the job file; "" when there is none."""
    if control.is_up():
        for row in control.call("image.list"):
            return str((row["names"] or [row["digest"]])[-1])
    return next((one for one in BESIDE if not _is_missing(folder, one)), "")


def _is_missing(folder: Path, image: str) -> bool:
    from xnode.jobfile.jobfile import ImageSource

    return bool(check_place(folder, ImageSource("path", path=image.removeprefix("oci:"))))
