"""Which files a job's inputs are: directories, patterns and links by simple rules, and a line for each that cannot be taken."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from xnode.jobfile import input_files
from xnode.jobfile.input_files import find_inputs
from xnode.jobfile.jobfile import InputSource, JobFile
from xnode.jobfile.read import validate_jobfile

BASIC = "image: oci:./image\ntime_limit: 10m\nbudget: 5 OPENX\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project as people have them."""
    for name in ("train.py", "test.py", "data/a.csv", "data/deep/b.csv", "data/.hidden", "data/größe.csv"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "project/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "project/run.sh").chmod(0o755)
    (tmp_path / "outside.txt").write_text("secret")
    return tmp_path / "project"


def find(folder: Path, inputs: str) -> dict[str, str]:
    """Path in the job -> file here, for `inputs:` as it is written; nothing may be wrong."""
    found = find_inputs(entries(inputs), folder)
    assert found.lines() == []
    return {path: str(file.source.relative_to(folder)) for path, file in found.files.items()}


def entries(inputs: str) -> tuple[InputSource, ...]:
    job = validate_jobfile(BASIC + f"inputs: {inputs}\n", "job.yaml")
    assert isinstance(job, JobFile), job
    return job.inputs


def problems(folder: Path, inputs: str) -> str:
    return "\n".join(find_inputs(entries(inputs), folder).lines())


def test_a_directory_is_all_that_is_in_it_hidden_files_too(folder: Path) -> None:
    names = ("a.csv", "deep/b.csv", ".hidden", "größe.csv")
    assert find(folder, "{d: ./data/}") == {f"d/{name}": f"data/{name}" for name in names}
    assert find(folder, "[./data]") == {f"data/{name}": f"data/{name}" for name in names}
    assert find(folder, "{.: ./data}") == {name: f"data/{name}" for name in names}


def test_a_pattern_is_what_it_finds(folder: Path) -> None:
    assert find(folder, '["*.py"]') == {"test.py": "test.py", "train.py": "train.py"}
    assert find(folder, '{src: "./*.py"}') == {"src/test.py": "test.py", "src/train.py": "train.py"}
    assert find(folder, '{all: "data/**/*.csv"}') == {
        "all/a.csv": "data/a.csv",
        "all/deep/b.csv": "data/deep/b.csv",
        "all/größe.csv": "data/größe.csv",
    }
    assert find(folder, '["data/d*"]') == {"deep/b.csv": "data/deep/b.csv"}


def test_files_and_lists_mean_what_they_meant(folder: Path) -> None:
    assert find(folder, "{x/y.py: ./train.py}") == {"x/y.py": "train.py"}
    assert find(folder, "[{path: a, from: ./train.py}, ./test.py]") == {"a": "train.py", "test.py": "test.py"}


def test_a_file_named_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "[1].csv").write_text("one")
    assert find(folder, '{a: "./[1].csv"}') == {"a": "[1].csv"}


def test_what_is_executable_here_is_so_there(folder: Path) -> None:
    found = find_inputs(entries("[./run.sh, ./train.py]"), folder)
    assert {path: file.executable for path, file in found.files.items()} == {"run.sh": True, "train.py": False}


def test_links_are_followed_inside_and_refused_outside(folder: Path) -> None:
    (folder / "data/link.csv").symlink_to("deep/b.csv")
    (folder / "data/more").symlink_to("deep")
    found = find(folder, "[./data]")
    assert {"data/link.csv", "data/more/b.csv"} <= found.keys()
    (folder / "data/secret").symlink_to("../../outside.txt")
    (folder / "data/deep/around").symlink_to("..")
    (folder / "data/dead").symlink_to("nothing")
    told = problems(folder, "[./data]")
    assert "data/secret is a link that leads out of ./data" in told and "name its target itself" in told
    assert "around is a link that leads around" in told and "dead is a link that leads nowhere" in told
    (folder / "named").symlink_to("../outside.txt")
    assert find_inputs(entries("[./named]"), folder).lines() == [], "what is named itself is meant"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("[./nothing.txt]", "file ./nothing.txt was not found"),
        ('["*.rs"]', "*.rs finds no file"),
        ("{.: ./train.py}", "is a file: give it a name"),
        ("[./data, {path: 'data/a.csv/x', from: ./train.py}]", "lies below another input"),
        ("[./pipe]", "a device, pipe or socket"),
        ("[./socket]", "a device, pipe or socket"),
    ],
)
def test_what_cannot_be_taken_is_a_line(folder: Path, inputs: str, words: str) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    job = validate_jobfile(BASIC + f"inputs: {inputs}\n", "job.yaml")
    told = "\n".join(map(str, job)) if isinstance(job, list) else problems(folder, inputs)
    assert words in told


def test_names_that_cannot_be_sent_are_named(folder: Path) -> None:
    for name in (b"bad\xff", b"line\nfeed"):
        Path(os.fsdecode(os.path.join(os.fsencode(folder / "data"), name))).write_text("x")  # noqa: PTH118
    told = problems(folder, "[./data]")
    assert "is not UTF-8" in told and "control characters" in told
    told.encode()


def test_two_files_for_one_place_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/a.csv").write_text("x")
    assert "would both be /work/in/a.csv" in problems(folder, '["data/*.csv", "other/*.csv"]')


def test_a_file_in_the_place_of_a_folder_is_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/deep").write_text("x")
    assert "would lie below" in problems(folder, '["data/*", "other/*"]')


def test_problems_are_counted_after_the_first_ones(folder: Path) -> None:
    for number in range(30):
        (folder / f"data/dead{number}").symlink_to("nothing")
    told = find_inputs(entries("[./data]"), folder).lines()
    assert len(told) == input_files.MAX_LINES + 1 and told[-1] == "inputs: and 10 more like these"


def test_links_that_multiply_end_at_the_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "MAX_INPUT_FILES", 500)
    (folder / "maze").mkdir()
    for depth in range(14):
        (folder / f"maze/{depth}").mkdir()
        for name in "ab":
            (folder / f"maze/{depth}/{name}").symlink_to(f"../{depth + 1}")
    (folder / "maze/14").mkdir()
    assert "more than 500 files" in problems(folder, "[./maze]")
