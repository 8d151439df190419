"""`xnode image`: images that this node keeps, for jobs to name."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.distribution import install_command
from xnode.errors import ExitCode, UserError

STORES = {"podman": ("podman", "save", "--quiet", "--format", "oci-archive"), "docker": ("docker", "save")}
"""Programs with a store of images, and how each writes one of them to its standard output."""

END_S = 10.0
"""How long such a program may take to end once all has been read."""

_COLUMNS = (
    Column("name", fold=True),
    Column("image"),
    Column("platform"),
    Column("size", right=True),
    Column("kept", right=True),
    Column("used by", fold=True, optional=True),
)


@click.group(cls=LazyGroup)
def image() -> None:
    """The images that this node keeps for jobs.

    IMAGE is a name, a digest, or the first 6 digits of one. A job file names it so too.
    """


@image.command("import")
@click.argument("source")
@click.option("--name", default="", help="What job files call it.  [default: the source's own name]")
@click.option("--platform", default="", help="Which of several.  [default: linux/amd64, else the first]")
@output_option
@pass_app
def import_(app: App, source: str, name: str, platform: str, screen: Screen) -> None:
    """Take an image in, checking all of it.

    \b
    SOURCE is one of
      ./DIRECTORY               an OCI layout
      ./FILE.tar                what podman save, docker save, buildx,
                                skopeo or kaniko wrote, packed by gzip or not
      podman:NAME, docker:NAME  an image of podman or docker on this host
    """
    from xnode.cli.node.launch import ensure_daemon
    from xnode.cli.terminal.working import call_working

    control = ensure_daemon(app.home)
    name = name or make_name(source)
    store, colon, rest = source.partition(":")
    if colon and store in STORES:
        with save_from(store, rest) as pipe:
            params = {"path": str(pipe), "name": name, "platform": platform, "source": source}
            answer = call_working(control, "image.import", params)
    else:
        from xnode.jobfile.image_place import check_place
        from xnode.jobfile.jobfile import ImageSource

        path = source.removeprefix("oci-archive:").removeprefix("docker-archive:").removeprefix("oci:")
        wrong = check_place(Path.cwd(), ImageSource("path", path=path))
        if wrong:
            raise UserError(wrong, where="image", hint="podman:NAME and docker:NAME take one from there")
        full = str(Path.cwd() / Path(path).expanduser())
        answer = call_working(control, "image.import", {"path": full, "name": name, "platform": platform})
    screen.show(answer, lambda: _say_kept(answer))


@image.command("ls")
@output_option
@pass_app
def ls(app: App, screen: Screen) -> None:
    """List the images, newest first."""
    answer = app.control.call("image.list")
    screen.show(answer, lambda: _draw(screen, answer))


@image.command("rm")
@click.argument("image")
@output_option
@pass_app
def rm(app: App, image: str, screen: Screen) -> None:
    """Remove an image, unless a live job needs it."""
    answer = app.control.call("image.remove", {"image": image})
    screen.show(answer, lambda: say(f"removed {_name_of(answer)}"))


def make_name(source: str) -> str:
    """The source's own name, as a job file may write it: the last part, without tag and ending; "" when nothing is left."""
    text = re.sub(r"^(?:podman|docker|oci|oci-archive|docker-archive):", "", source).partition("@")[0]
    name = PurePosixPath(text).name.partition(":")[0]
    name = re.sub(r"\.(?:tar|tgz|tar\.gz|oci)$", "", name.lower())
    return re.sub(r"[^a-z0-9._-]+", "-", name).strip("._-")[:64]


@contextmanager
def save_from(store: str, name: str) -> Iterator[Path]:
    """A pipe that podman or docker writes the image to as it is read. Raises UserError with that program's own words."""
    if shutil.which(store) is None:
        what, hint = f"{store} is not installed here", install_command(store)
        raise UserError(what, where=f"{store}:{name}", hint=hint, code=ExitCode.NOT_FOUND)
    with tempfile.TemporaryDirectory(prefix="xnode-image-") as folder:
        pipe, errors = Path(folder, f"{store}.tar"), Path(folder, "errors")
        command = [*STORES[store], "--", name] if store == "podman" else [*STORES[store], name]
        _make_pipe(pipe)
        with errors.open("wb") as said:
            # The shell opens the pipe, which waits for the reader; then it is the program.
            shell = ["sh", "-c", 'pipe=$1; shift; exec "$@" > "$pipe"', "sh", str(pipe), *command]
            saving = subprocess.Popen(shell, stdin=subprocess.DEVNULL, stderr=said)
        try:
            yield pipe
            saving.wait(END_S)
        except UserError as error:
            saving.terminate()
            raise _explain(store, name, saving, errors) or error from error
        finally:
            saving.kill()
            saving.wait()


def _explain(store: str, name: str, saving: subprocess.Popen[bytes], errors: Path) -> UserError | None:
    """What the program said, when it is at fault."""
    code = saving.wait(END_S)
    lines = errors.read_text(errors="replace").strip().splitlines()
    if code <= 0 or not lines:
        return None
    text = lines[-1].removeprefix("Error: ").removeprefix("Error response from daemon: ")
    return UserError(
        f"{store} cannot save it: {text[:200]}", where=f"{store}:{name}", hint=f"`{store} images` shows what there is",
        code=ExitCode.NOT_FOUND,
    )  # fmt: skip


def _make_pipe(path: Path) -> None:
    import os

    os.mkfifo(path, 0o600)


def _say_kept(answer: dict[str, Any]) -> None:
    print(answer["digest"])
    say(f"kept as {_name_of(answer)}; in a job file: image: {_name_of(answer)}")


def _draw(screen: Screen, answer: list[dict[str, Any]]) -> None:
    from xnode.cli.terminal.brief import brief_age, brief_size

    if not answer:
        say("no images yet; `xnode image import podman:NAME` keeps one")
        return
    rows = (
        (
            ", ".join(row["names"]) or "-",
            row["digest"][7:19],
            row["platform"],
            brief_size(row["size"]),
            brief_age(row["added_at_ns"]),
            row["used_by"],
        )
        for row in answer
    )
    screen.table(_COLUMNS, rows)


def _name_of(answer: dict[str, Any]) -> str:
    return str((answer["names"] or [answer["digest"]])[-1])
