"""Input files: which files on this machine the `inputs` of a job file mean, with a line for each that cannot be taken."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from scheduler.job import MAX_INPUT_FILES, PACK_PATH, check_path
from xnode.jobfile.jobfile import InputSource
from xnode.jobfile.maps import has_wildcard
from xnode.ports.store import LocalFile

MAX_LINES = 20
"""Of files that cannot be taken: a person fixes the first ones first."""


@dataclass(slots=True)
class Inputs:
    """What was found. problems: lines for people, at most MAX_LINES and one that says how many more."""

    files: dict[str, LocalFile] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    more: int = 0

    def note(self, entry: InputSource, text: str) -> None:
        """One more problem with what an entry names."""
        if len(self.problems) < MAX_LINES:
            where = "inputs" if entry.path == PACK_PATH else f"inputs.{entry.path}"
            self.problems.append(f"{where}: {text}")
        else:
            self.more += 1

    def lines(self) -> list[str]:
        """Every problem, or the first ones and how many there are beside them."""
        return [*self.problems, *([f"inputs: and {self.more} more like these"] if self.more else [])]


class _TooMany(Exception):
    """More files than a job may have: no use in looking on."""


def find_inputs(entries: Iterable[InputSource], folder: Path) -> Inputs:
    """The files of every entry, relative to the job file's folder. Blocks; reads folders and no file.

    A file is taken as it is; of a directory everything in it, hidden files too. A link is taken as the file or folder that it
    leads to, but one inside a directory may not lead out of it. Of a pattern (* ? [] and ** for any folders) what it finds,
    below the entry's path as it lies below the pattern's fixed part.
    """
    found = Inputs()
    try:
        for entry in entries:
            _add_entry(found, entry, folder)
    except _TooMany:
        found.problems.append(f"inputs: more than {MAX_INPUT_FILES} files; put them into an archive")
    _check_places(found)
    return found


def _add_entry(found: Inputs, entry: InputSource, folder: Path) -> None:
    source = folder / Path(entry.source).expanduser()
    if os.path.lexists(source):
        _add(found, entry, source, entry.path)
        return None
    if not has_wildcard(entry.source):
        return found.note(entry, f"file {entry.source} was not found; a path is relative to the job file")
    pattern = str(Path(entry.source).expanduser())
    fixed = folder / _fixed_part(Path(pattern))
    matches = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 (Path.glob takes no "..")
    if not matches:
        return found.note(entry, f"{entry.source} finds no file; a path is relative to the job file")
    for match in matches:
        # What ** finds includes the folders around what it finds: those are taken by their files.
        if "**" not in pattern or not (folder / match).is_dir():
            _add(found, entry, folder / match, _join(entry.path, os.path.relpath(folder / match, fixed)))
    return None


def _add(found: Inputs, entry: InputSource, source: Path, path: str) -> None:
    """A file, or all that is in a folder."""
    try:
        mode = source.stat().st_mode
    except FileNotFoundError:
        return found.note(entry, f"{source} is a link that leads nowhere")
    except OSError as error:
        return found.note(entry, f"{source} cannot be read: {error.strerror}")
    if stat.S_ISDIR(mode):
        for file, below in _walk(found, entry, source):
            _add_file(found, entry, file, _join(path, below))
        return None
    if path == PACK_PATH:
        return found.note(entry, f"{entry.source} is a file: give it a name")
    return _add_file(found, entry, source, path)


def _add_file(found: Inputs, entry: InputSource, source: Path, path: str) -> None:
    try:
        info = source.stat()
    except OSError as error:
        return found.note(entry, f"{source} cannot be read: {error.strerror}")
    wrong = check_path(path)
    if wrong:
        return found.note(entry, f"{ascii(str(source))[1:-1][:200]} {wrong}")
    if not stat.S_ISREG(info.st_mode):
        return found.note(entry, f"{source} is not a file: a device, pipe or socket cannot be sent")
    if not os.access(source, os.R_OK):
        return found.note(entry, f"{source} cannot be read: Permission denied")
    if path in found.files:
        return found.note(entry, f"{source} and {found.files[path].source} would both be /work/in/{path}")
    if len(found.files) >= MAX_INPUT_FILES:
        raise _TooMany
    found.files[path] = LocalFile(path, source, info.st_size, bool(info.st_mode & 0o111))
    return None


def _walk(found: Inputs, entry: InputSource, root: Path) -> Iterator[tuple[Path, str]]:
    """(file, its path below the folder) of everything in it, in order; links only where they stay inside."""
    inside = os.path.realpath(root)
    waiting: list[tuple[Path, str, tuple[str, ...]]] = [(root, "", (inside,))]
    folders = 0
    while waiting:
        folders += 1
        if folders > MAX_INPUT_FILES:  # links may lead the same way again and again
            raise _TooMany
        folder, below, around = waiting.pop()
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            found.note(entry, f"{folder} cannot be read: {error.strerror}")
            continue
        for name in names:
            path, place = folder / name, f"{below}/{name}" if below else name
            if path.is_symlink():
                target = os.path.realpath(path)
                if not _is_below(target, inside):
                    found.note(entry, f"{path} is a link that leads out of {entry.source}; name its target itself")
                    continue
                if target in around or not Path(target).exists():
                    found.note(entry, f"{path} is a link that leads {'around' if target in around else 'nowhere'}")
                    continue
            if path.is_dir():
                waiting.append((path, place, (*around, os.path.realpath(path))))
            else:
                yield path, place


def _check_places(found: Inputs) -> None:
    """No file may be where another needs a folder."""
    for path, file in found.files.items():
        for above in PurePosixPath(path).parents:
            if str(above) in found.files:
                other = found.files[str(above)]
                found.problems.append(f"inputs: {file.source} would lie below {other.source}, which is a file")
                return


def _fixed_part(pattern: Path) -> Path:
    """The folder before a pattern's first wildcard."""
    parts = pattern.parts
    first = next(place for place, part in enumerate(parts) if has_wildcard(part))
    return Path(*parts[:first])


def _join(path: str, below: str) -> str:
    return below if path == PACK_PATH else f"{path}/{below}"


def _is_below(target: str, folder: str) -> bool:
    return target == folder or target.startswith(folder.rstrip("/") + "/")
