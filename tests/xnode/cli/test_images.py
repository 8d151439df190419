"""`xnode image`: from a file or from podman's own store to a name that a job file can use, with what happens meanwhile shown."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.make import images
from tests.xnode.cli.conftest import Run
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.cli.job.image import make_name
from xnode.cli.terminal import working
from xnode.cli.terminal.working import describe_work
from xnode.control.server import Method
from xnode.control.views import WorkRow
from xnode.errors import ExitCode
from xnode.home import Home


@pytest.fixture
def archive(home: Home) -> str:
    (home.folder / "greeter.tar").write_bytes(images.make_kaniko_archive())
    return "greeter.tar"


@pytest.mark.usefixtures("daemon")
def test_an_image_is_kept_listed_named_and_removed(xnode: Run, archive: str, home: Home) -> None:
    kept = xnode("image", "import", archive)
    assert kept.returncode == 0, kept.stderr
    assert kept.stdout.startswith("sha256:") and "image: greeter" in kept.stderr
    (home.folder / "job.yaml").write_text("image: greeter\ntime_limit: 1m\nbudget: 1 OPENX\n")
    plan = xnode("job", "plan")
    assert "image linux/amd64" in plan.stderr, plan.stderr
    listed = xnode("image", "ls", env={"COLUMNS": "80"})
    assert "greeter" in listed.stdout and max(map(len, listed.stdout.splitlines())) <= 80
    (row,) = json.loads(xnode("image", "ls", "-o", "json").stdout)
    assert row["digest"] == kept.stdout.strip() and row["source"].endswith("greeter.tar")
    assert xnode("image", "rm", row["digest"][7:17]).returncode == 0
    gone = xnode("job", "plan")
    assert gone.returncode == ExitCode.NOT_FOUND and "no image greeter is kept here" in gone.stderr


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("./nothing.tar", "./nothing.tar was not found"),
        (".", "is not an OCI image layout"),
        ("job.yaml", "not a tar archive"),
        ("docker:nothing", "docker"),
        ("podman:no/such/image", "podman cannot save it"),
    ],
)
def test_what_is_no_image_is_one_line_with_a_hint(xnode: Run, home: Home, source: str, words: str) -> None:
    (home.folder / "job.yaml").write_text("image: x\n" * 100)
    done = xnode("image", "import", source)
    assert done.returncode not in (0, ExitCode.TIMEOUT) and words in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("hint: ")]) == 1, done.stderr


@pytest.fixture
def podman_store(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a podman with a store of its own, which has busybox:1."""
    config = tmp_path / "storage.conf"
    config.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{tmp_path}/images"\nrunroot = "{tmp_path}/run"\n')
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    env = {"CONTAINERS_STORAGE_CONF": str(config)}
    (tmp_path / "busybox").symlink_to(make_busybox_layout())

    def podman(*words: str) -> str:
        command = ["podman", *words]
        environment = {"PATH": "/usr/bin:/bin", **env}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    pulled = podman("pull", "--quiet", f"--signature-policy={tmp_path}/policy.json", f"oci:{tmp_path}/busybox")
    podman("tag", pulled, "localhost/tools/busybox:1")
    yield env
    podman("rmi", "--all", "--force")


@pytest.mark.engine
@pytest.mark.usefixtures("daemon")
def test_an_image_of_podmans_own_store_is_kept(xnode: Run, podman_store: dict[str, str]) -> None:
    kept = xnode("image", "import", "podman:localhost/tools/busybox:1", env=podman_store)
    assert kept.returncode == 0, kept.stderr
    (row,) = json.loads(xnode("image", "ls", "-o", "json").stdout)
    assert row["names"] == ["busybox"] and row["source"] == "podman:localhost/tools/busybox:1"
    again = xnode("image", "import", "podman:localhost/tools/busybox:1", "--name", "tools", env=podman_store)
    assert again.stdout == kept.stdout, "the same image has the same digest"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("podman:localhost/tools/busybox:1", "busybox"),
        ("docker:ghcr.io/me/Train@sha256:ab", "train"),
        ("./some/My Image.tar.gz", "my-image"),
        ("image.tar", "image"),
        ("oci:./layout", "layout"),
        ("oci-archive:a.tar", "a"),
        ("docker-archive:/x/b.tar:latest", "b"),
        ("...", ""),
    ],
)
def test_the_name_is_the_sources_own(source: str, name: str) -> None:
    assert make_name(source) == name


def test_a_line_of_progress_has_bytes_and_rate() -> None:
    assert (
        describe_work(WorkRow("image a.tar", 312_000_000, 749_000_000), 210e6) == "image a.tar: 312 of 749 MB, 210 MB/s"
    )
    assert describe_work(WorkRow("image podman.tar", 5_000_000), 0) == "image podman.tar: 5 MB"


def test_there_is_no_silence_while_the_daemon_takes_an_image_in(
    xnode_here: Run,
    home: Home,
    serve: Callable[[Mapping[str, Method]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a person sees in a log; on a terminal the line is drawn twice a second."""
    asked = trio.Event()
    rows = [WorkRow("image slow.tar", 10**8 * number, 10**9) for number in (1, 2, 3)]

    async def take(_params: dict[str, Any]) -> Any:
        await asked.wait()
        return {"digest": "sha256:" + "0" * 64, "names": ["slow"]}

    async def work(_params: dict[str, Any]) -> Any:
        row = rows.pop(0) if rows else None
        if row is None:
            asked.set()
        return [row] if row else []

    monkeypatch.setattr(working, "LOOK_S", 0.02)
    monkeypatch.setattr(working, "SAY_S", 0.0)
    serve({"image.import": take, "node.work": work})
    (home.folder / "slow.tar").write_bytes(b"x")
    done = xnode_here("image", "import", "slow.tar")
    assert done.returncode == 0 and done.stdout == "sha256:" + "0" * 64 + "\n"
    assert "image slow.tar: 100 of 1000 MB\n" in done.stderr
    assert re.search(r"image slow.tar: 300 of 1000 MB, \d+ MB/s\n", done.stderr)
