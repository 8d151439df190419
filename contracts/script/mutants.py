#!/usr/bin/env python3
"""Changes the contracts one small place at a time, and counts the changes that forge's tests notice.

Each mutant is compiled alone, without the optimizer, into an artifact; the tests are compiled once and deploy it
(XNODE_ARTIFACTS). A mutant is killed by the first test that fails. One that survives every test is compiled once more with the
optimizer: if that gives the code of the unchanged source, nothing was changed. Those left over stand in docs/mutants.md by line;
script/equivalent_mutants.json says of which of them no test could tell, and why.
What is known is kept in cache/mutants.jsonl: a run that was stopped goes on, and a new one tries what stands in a changed source,
with --again also what survived. A whole run takes hours; --sample tries some of each source, and the table says so.
Exit status: 0 every contract reaches the goal, 1 not, 2 the tests fail without any change.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from mutant_plan import SOURCES, draw_sample
from mutant_source import Mutant, make_mutants
from mutant_table import Result, Table, write_table
from workbench import CONTRACTS, Compiler, NoResult, copy_contracts

KNOWN = CONTRACTS / "cache" / "mutants.jsonl"
GOAL = 0.95

SLOW = "test/{invariant/*,Element*,FaultVectors*,Vectors*,Verifiers*,WrongElement*,OverCapacity*,Capacity*}"

Round = tuple[tuple[str, ...], dict[str, str]]
"""Of tests: forge's arguments, and its environment."""

ROUNDS: tuple[Round, ...] = (
    (("--no-match-path", SLOW), {"FOUNDRY_FUZZ_RUNS": "32"}),
    (("--no-match-path", "none"), {}),
)
"""After the nearest tests the quick ones; then all, as `make test` runs them."""

ALONE = ("--threads", "1")
"""--jobs says how many processors work."""

DEADLINE_S = 900
"""A mutant that loops forever is noticed too. All tests take minutes on a busy machine."""


class Bench:
    """One copy of the contracts with compiled tests, in which mutants are tried one after the other. Close it."""

    def __init__(self, root: Path, quick: bool) -> None:
        self._root = root
        self._quick = quick
        self._rounds = ROUNDS[:1] if quick else ROUNDS
        self._mutant = root / "cache" / "mutant"
        self.compiler = Compiler(root)
        self._plain: dict[tuple[str, bool], dict[str, str]] = {}

    def check_unchanged(self, sources: dict[str, bytes]) -> None:
        """Raises NoResult unless the tests pass on the unchanged sources, compiled as mutants are."""
        self._reset()
        for source, code in sources.items():
            self._put(self._compile_plain(source, code))
        near = ",".join(dict.fromkeys(",".join(SOURCES[source].near for source in sources).split(",")))
        failed = self._find_failure((make_nearest(near), *self._rounds))
        if failed:
            raise NoResult(f"without any change, a test fails: {failed}")

    def attempt(self, mutant: Mutant, code: bytes) -> Result:
        changed = mutant.apply(code)
        place = SOURCES[mutant.source]
        made = self.compiler.compile(mutant.source, changed, place.deployed)
        if made is None:
            return Result("not compiled", "")
        if made == self._compile_plain(mutant.source, code):
            return Result("same code", "")
        self._reset()
        self._put(made)
        failed = self._find_failure((make_nearest(place.near),))
        if failed:
            return Result("killed", failed)
        optimized = self.compiler.compile(mutant.source, changed, place.deployed, optimized=True)
        if optimized == self._compile_plain(mutant.source, code, True):
            return Result("same code", "")
        failed = self._find_failure(self._rounds)
        if not failed and not self._quick:
            failed = self._find_failure_inside(mutant, changed, code)
        return Result("killed", failed) if failed else Result("survived", "")

    def close(self) -> None:
        self.compiler.close()

    def _compile_plain(self, source: str, code: bytes, optimized: bool = False) -> dict[str, str]:
        """The contracts that the unchanged source is deployed with."""
        if (source, optimized) not in self._plain:
            made = self.compiler.compile(source, code, SOURCES[source].deployed, optimized=optimized)
            if made is None:
                raise NoResult(f"{source} does not compile")
            self._plain[source, optimized] = made
        return self._plain[source, optimized]

    def _reset(self) -> None:
        """The artifacts of the unchanged sources, and none of what forge remembers of an earlier mutant."""
        for name in ("mutant", "fuzz", "invariant", "test-failures"):
            path = self._root / "cache" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copytree(self._root / "artifacts", self._mutant)

    def _put(self, made: dict[str, str]) -> None:
        for contract, bytecode in made.items():
            (self._mutant / f"{contract}.json").write_text(json.dumps({"bytecode": bytecode}))

    def _find_failure(self, rounds: Iterable[Round]) -> str:
        """The first test that fails, or nothing."""
        for arguments, environment in rounds:
            command = [str(self._root / "bin" / "foundry"), "forge", "test", "--fail-fast", *ALONE, *arguments]
            given = os.environ | environment | {"XNODE_ARTIFACTS": "cache/mutant"}
            try:
                done = subprocess.run(
                    command, cwd=self._root, env=given, capture_output=True, text=True, timeout=DEADLINE_S
                )
            except subprocess.TimeoutExpired:
                return "no test ended in time"
            failed = [line for line in done.stdout.splitlines() if line.startswith("[FAIL")]
            if failed:
                return read_name(failed[0])
            if done.returncode != 0:
                raise NoResult(done.stdout[-2000:] + done.stderr[-2000:])
        return ""

    def _find_failure_inside(self, mutant: Mutant, changed: bytes, code: bytes) -> str:
        """The first failure of the tests that have a library compiled in: so they are compiled again."""
        inside = SOURCES[mutant.source].inside
        if not inside:
            return ""
        path = self._root / mutant.source
        path.write_bytes(changed)
        failed = self._find_failure(((("--match-path", f"test/{inside}.t.sol"), {}),))
        path.write_bytes(code)
        return failed


def make_nearest(near: str) -> Round:
    return ("--match-path", f"test/{{{near}}}.t.sol"), {"FOUNDRY_FUZZ_RUNS": "32"}


def read_name(line: str) -> str:
    """The test's name in forge's line about a failure."""
    words = [
        word
        for word in line.split()
        if word.endswith(")") and "(" in word and word.startswith(("test", "invariant", "setUp"))
    ]
    return words[-1].partition("(")[0] if words else line[:60]


def main() -> int:
    asked = read_arguments()
    # So that the copies are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        there, tried = run(asked)
    except NoResult as failed:
        print(failed, file=sys.stderr)
        return 2
    if asked.only or not tried:
        return 0
    return 0 if write_table(Table(there, tried, asked.sample and asked.seed), GOAL) else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at once (default 2)")
    parser.add_argument("--only", help="only this contract's, or this source's; no table is written")
    parser.add_argument("--line", type=int, help="only those of this line")
    parser.add_argument("--sample", type=int, help="so many of each source, drawn at random; more where more are known")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default 1)")
    parser.add_argument("--list", action="store_true", help="print the mutants, try none")
    parser.add_argument("--fresh", action="store_true", help="forget what is known")
    parser.add_argument("--quick", action="store_true", help="only the quick tests: what survives them may still die")
    parser.add_argument("--again", action="store_true", help="also try again what survived before")
    return parser.parse_args()


def run(asked: argparse.Namespace) -> tuple[list[Mutant], list[tuple[Mutant, Result]]]:
    """Every mutant asked for; and those that were tried with their results, in the same order."""
    if asked.fresh:
        KNOWN.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="xnode-mutants-") as folder:
        root = copy_contracts(Path(folder) / "0")
        sources = {source: (root / source).read_bytes() for source in SOURCES}
        there = choose(asked, find_mutants(root, sources))
        wanted = draw(asked, there, sources)
        if asked.list:
            for mutant in wanted:
                print(f"{mutant.source}:{mutant.line}: {mutant.operator}: {mutant.before}  ->  {mutant.after}")
            return there, []
        return there, attempt_all(wanted, sources, root, asked)


def build_tests(contracts: Path) -> None:
    build = subprocess.run(["bin/foundry", "forge", "build"], cwd=contracts, capture_output=True, text=True)
    if build.returncode != 0:
        raise NoResult(build.stdout + build.stderr)


def find_mutants(root: Path, sources: dict[str, bytes]) -> list[Mutant]:
    compiler = Compiler(root)
    found: list[Mutant] = []
    for source, code in sources.items():
        found += make_mutants(source, code, compiler.parse(source, code))
    compiler.close()
    return found


def choose(asked: argparse.Namespace, mutants: list[Mutant]) -> list[Mutant]:
    only, line = asked.only, asked.line
    named = [mutant for mutant in mutants if not only or Path(mutant.source).stem == Path(only).stem]
    return [mutant for mutant in named if not line or mutant.line == line]


def draw(asked: argparse.Namespace, there: list[Mutant], sources: dict[str, bytes]) -> list[Mutant]:
    if asked.sample is None:
        return there
    known = read_known(again=False)
    tried = {mutant for mutant in there if mutant.key(sources[mutant.source]) in known}
    return draw_sample(there, asked.sample, asked.seed, tried)


def attempt_all(
    mutants: list[Mutant], sources: dict[str, bytes], root: Path, asked: argparse.Namespace
) -> list[tuple[Mutant, Result]]:
    known = read_known(asked.again)
    left: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    todo = [mutant for mutant in mutants if mutant.key(sources[mutant.source]) not in known]
    for mutant in todo:
        left.put(mutant)
    progress = Progress(len(todo), len(mutants) - len(todo))
    if todo:
        build_tests(root)
        roots = [root] + [copy_compiled(root, number) for number in range(1, min(asked.jobs, len(todo)))]
        benches = [Bench(each, asked.quick) for each in roots]
        touched = {mutant.source for mutant in todo}
        benches[0].check_unchanged({source: code for source, code in sources.items() if source in touched})
        threads = [
            threading.Thread(target=attempt_some, args=(bench, left, sources, progress), daemon=True)
            for bench in benches
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if progress.failure:
            raise progress.failure
    known = read_known(again=False)
    tried = [(mutant, known[mutant.key(sources[mutant.source])]) for mutant in mutants]
    return sorted(tried, key=lambda pair: (list(SOURCES).index(pair[0].source), pair[0].start, pair[0].end))


def copy_compiled(root: Path, number: int) -> Path:
    made = root.parent.parent / str(number)
    shutil.copytree(root.parent, made, symlinks=True)
    return made / root.name


class Progress:
    """Keeps each result as it comes, and says how far it is."""

    def __init__(self, wanted: int, known: int) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._wanted = wanted
        self._counts: dict[str, int] = {}
        self.failure: NoResult | None = None
        print(f"{wanted} mutants to try, {known} known", flush=True)

    def note(self, mutant: Mutant, code: bytes, result: Result) -> None:
        with self._lock:
            KNOWN.parent.mkdir(exist_ok=True)
            with KNOWN.open("a") as file:
                file.write(json.dumps({"key": mutant.key(code), "outcome": result.outcome, "by": result.by}) + "\n")
            self._counts[result.outcome] = self._counts.get(result.outcome, 0) + 1
            done = sum(self._counts.values())
            if result.outcome == "survived":
                print(f"survived: {mutant.source}:{mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)
            if done % 25 == 0 or done == self._wanted:
                spent = time.monotonic() - self._began
                told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._counts.items()))
                print(f"{done}/{self._wanted} in {spent:.0f} s ({told})", flush=True)


def attempt_some(bench: Bench, left: queue.SimpleQueue[Mutant], sources: dict[str, bytes], progress: Progress) -> None:
    try:
        while not progress.failure:
            mutant = left.get_nowait()
            code = sources[mutant.source]
            progress.note(mutant, code, bench.attempt(mutant, code))
    except queue.Empty:
        pass
    except NoResult as failed:
        progress.failure = failed
    finally:
        bench.close()


def read_known(again: bool) -> dict[str, Result]:
    """What earlier runs found, the latest last. With again, without what survived."""
    known: dict[str, Result] = {}
    if KNOWN.exists():
        for line in KNOWN.read_text().splitlines():
            told = json.loads(line)
            known[told["key"]] = Result(told["outcome"], told["by"])
    return {key: result for key, result in known.items() if not again or result.outcome != "survived"}


if __name__ == "__main__":
    sys.exit(main())
