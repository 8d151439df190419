"""Counts words and n-grams of /work/in/text.txt and writes a compressed inverted index. Standard library only.

Outputs: totals.json, words.tsv, bigrams.tsv, trigrams.tsv (most frequent first), index.bin (zlib: a word, then the
differences of the numbers of the lines it stands in).
"""

import json
import re
import sys
import time
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

INPUT = Path("/work/in/text.txt")
OUTPUT = Path("/work/out")
WORD = re.compile(rb"[a-z]{2,24}")
STEPS = 20
TOP = 5_000
MAX_GRAMS = 400_000

Gram = tuple[bytes, ...]


def main() -> None:
    data_bytes = INPUT.stat().st_size
    print(f"reading {data_bytes:,} bytes on python {sys.version.split()[0]}", flush=True)
    words: Counter[bytes] = Counter()
    bigrams: Counter[Gram] = Counter()
    trigrams: Counter[Gram] = Counter()
    lines: defaultdict[bytes, list[int]] = defaultdict(list)
    begun, seen, shown = time.monotonic(), 0, 0
    with INPUT.open("rb") as file:
        for number, line in enumerate(file):
            found = WORD.findall(line.lower())
            words.update(found)
            bigrams.update(zip(found, found[1:]))
            trigrams.update(zip(found, found[1:], found[2:]))
            for word in set(found):
                lines[word].append(number)
            seen += len(line)
            if seen * STEPS // data_bytes > shown:
                shown = seen * STEPS // data_bytes
                trigrams = trim(trigrams)
                took = time.monotonic() - begun
                print(
                    f"{shown * 100 // STEPS:3d} %  {sum(words.values()):>11,} words  {len(words):>8,} distinct  {took:6.1f} s",
                    flush=True,
                )
    index_bytes = write_index(lines)
    for name, counter in (("words", words), ("bigrams", bigrams), ("trigrams", trigrams)):
        write_table(name, counter)
    totals = {
        "bytes": data_bytes,
        "words": sum(words.values()),
        "distinct": len(words),
        "bigrams": sum(bigrams.values()),
        "index_bytes": index_bytes,
    }
    (OUTPUT / "totals.json").write_text(json.dumps(totals, indent=2) + "\n")
    print(f"done: {totals['words']:,} words, {totals['distinct']:,} distinct, index {index_bytes:,} bytes", flush=True)


def trim(counter: Counter[Gram]) -> Counter[Gram]:
    """Rare n-grams make way when there are too many: the table of the most frequent ones hardly notices."""
    return Counter(dict(counter.most_common(MAX_GRAMS // 2))) if len(counter) > MAX_GRAMS else counter


def write_table(name: str, counter: Counter[Any]) -> None:
    rows = sorted(counter.items(), key=lambda row: (-row[1], row[0]))[:TOP]
    with (OUTPUT / f"{name}.tsv").open("w") as file:
        for gram, count in rows:
            text = gram.decode() if isinstance(gram, bytes) else " ".join(part.decode() for part in gram)
            file.write(f"{count}\t{text}\n")


def write_index(lines: dict[bytes, list[int]]) -> int:
    packer, size = zlib.compressobj(9), 0
    with (OUTPUT / "index.bin").open("wb") as file:
        for word in sorted(lines):
            numbers = lines[word]
            steps = " ".join(str(after - before) for before, after in zip([0, *numbers], numbers))
            size += file.write(packer.compress(word + b" " + steps.encode() + b"\n"))
        size += file.write(packer.flush())
    return size


main()
