"""Maps: the values of a job file that have parts, each with the table of its keys and its reader."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from metering.resources import Resources
from metering.tariff import Tariff
from metering.units import NANOS_PER_SECOND
from scheduler.job import (
    DEFAULT_GRACE_NS,
    MAX_GRACE_NS,
    MAX_INPUTS,
    MAX_TEXT_BYTES,
    MAX_WORDS,
    PACK_PATH,
    STOP_SIGNALS,
)
from xnode.jobfile.fields import (
    Form,
    Key,
    Reading,
    join_path,
    make_list_reader,
    make_object_schema,
    make_reader,
    read_entries,
    read_keys,
    read_text,
)
from xnode.jobfile.forms import (
    COUNT,
    GPU_MODEL,
    GRACE,
    INPUT_PATH,
    LOCAL_PATH,
    MONEY,
    PATTERNS,
    ROOM,
    SIGNAL,
    SIZE,
    VCPUS,
)
from xnode.jobfile.jobfile import DEFAULT_RESOURCES, InputSource, OutputTarget, ResourceShare, StopOrder
from xnode.jobfile.values import HALF, MAX_GPUS, VARIABLE_PATTERN, read_words
from xnode.jobfile.yaml_tree import Listing, Node, Scalar
from xnode.text.quantity import Money

MAX_ENTRIES = 4_096
"""Lines of inputs; a directory is one."""

MAX_WORDS_BYTES = MAX_TEXT_BYTES // 2
"""Half each for command and environment: check_job() limits both together."""


# ------------------------------------------------------------------------------------------- command and environment


def _read_command(reading: Reading, node: Node, path: str) -> tuple[str, ...] | None:
    read = make_reader(read_words) if isinstance(node, Scalar) else make_list_reader(read_text, MAX_WORDS)
    words: tuple[str, ...] | None = read(reading, node, path)
    if words is not None and not words:
        reading.note(node.line, path, "empty", "remove the line to run the image's own command")
        return None
    return _check_length(reading, node, path, words)


def _check_length(reading: Reading, node: Node, path: str, words: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if words and (len(words) > MAX_WORDS or sum(len(word.encode()) + 1 for word in words) > MAX_WORDS_BYTES):
        reading.note(node.line, path, f"longer than {MAX_WORDS} words or {MAX_WORDS_BYTES} bytes", "use an input file")
        return None
    return words


def _read_env(reading: Reading, node: Node, path: str) -> tuple[tuple[str, str], ...] | None:
    entries = read_entries(reading, node, path)
    if entries is None:
        return None
    pairs = []
    for key, value in entries:
        here = join_path(path, key.text)
        if not re.fullmatch(VARIABLE_PATTERN, key.text):
            reading.note(key.line, here, "not a variable's name", "use letters, digits and _, not a digit first")
            continue
        text = "" if isinstance(value, Scalar) and value.is_null else read_text(reading, value, here)
        if text is not None:
            pairs.append((key.text, text))
    words = tuple(word for pair in pairs for word in pair)
    return None if _check_length(reading, node, path, words) is None else tuple(pairs)


COMMAND = Form(
    _read_command,
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1, "maxItems": MAX_WORDS},
        ]
    },
    "text, or list of texts",
)

ENV = Form(
    _read_env,
    {
        "type": "object",
        "propertyNames": {"pattern": VARIABLE_PATTERN},
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    },
    "map of names and texts",
)


# --------------------------------------------------------------------------------------------------- inputs and outputs

INPUT_KEYS = {
    "path": Key(
        INPUT_PATH,
        "Where the job finds it, below `/work/in`; `.` is that folder itself.",
        example="words.txt",
        required=True,
    ),
    "from": Key(LOCAL_PATH, "The file, directory or pattern here.", example="./words.txt", required=True),
}

OUTPUT_KEYS = {
    "to": Key(
        LOCAL_PATH,
        "The directory here that the outputs come into; where other files are in the way, one of its name and the "
        "beginning of the job's id beside it.",
        example="./results",
        required=True,
    ),
    "only": Key(
        PATTERNS,
        "Which outputs are wanted: `*` matches any text, slashes too. Where one that matches cannot be had, the job is "
        "not done but `half-fetched`.",
        default="all",
        limits=f"at most {MAX_INPUTS} patterns",
        example='["*.csv"]',
    ),
}


def _read_inputs(reading: Reading, node: Node, path: str) -> tuple[InputSource, ...] | None:
    found: list[InputSource | None] = []
    if isinstance(node, Listing):
        for place, item in enumerate(node.items):
            if isinstance(item, Scalar):
                source = LOCAL_PATH.read(reading, item, f"{path}[{place}]")
                found.append(source and InputSource(name_of(source), source))
                continue
            values = read_keys(reading, item, f"{path}[{place}]", INPUT_KEYS)
            found.append(_input_of(values.get("path"), values.get("from")))
    else:
        for key, value in read_entries(reading, node, path) or []:
            here = join_path(path, key.text)
            inside = INPUT_PATH.read(reading, key, here)
            found.append(_input_of(inside, LOCAL_PATH.read(reading, value, here)))
    inputs = tuple(one for one in found if one is not None)
    return _check_inputs(reading, node, path, inputs)


def name_of(source: str) -> str:
    """Where a job finds what was named without a path: under its own name; what a pattern finds, each under its own."""
    name = PurePosixPath(source).name
    return PACK_PATH if has_wildcard(source) or name in ("", "..") else name


def has_wildcard(source: str) -> bool:
    """True when it may be a pattern; a file of just this name goes first."""
    return any(char in source for char in "*?[")


def _input_of(path: str | None, source: str | None) -> InputSource | None:
    return None if path is None or source is None else InputSource(path, source)


def _check_inputs(
    reading: Reading, node: Node, path: str, inputs: tuple[InputSource, ...]
) -> tuple[InputSource, ...] | None:
    if len(inputs) > MAX_ENTRIES:
        text = f"{len(inputs)} entries, the limit is {MAX_ENTRIES}"
        reading.note(node.line, path, text, "name the directory that they are in")
        return None
    paths = {one.path for one in inputs}
    for one in inputs:
        parts = one.path.split("/")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            reading.note(node.line, path, f"{one.path[:40]!a} lies below another input")
    named = [one.path for one in inputs if one.path != PACK_PATH]
    if len(paths - {PACK_PATH}) < len(named):
        reading.note(node.line, path, "two inputs have the same path")
    return inputs


def _read_outputs(reading: Reading, node: Node, path: str) -> OutputTarget | None:
    if isinstance(node, Scalar):
        to = LOCAL_PATH.read(reading, node, path)
        return OutputTarget(to) if to is not None else None
    values = read_keys(reading, node, path, OUTPUT_KEYS)
    return OutputTarget(values["to"], values.get("only") or ()) if values.get("to") else None


INPUTS = Form(
    _read_inputs,
    {
        "anyOf": [
            {"type": "object", "additionalProperties": LOCAL_PATH.schema, "maxProperties": MAX_ENTRIES},
            {
                "type": "array",
                "items": {"anyOf": [LOCAL_PATH.schema, make_object_schema(INPUT_KEYS)]},
                "maxItems": MAX_ENTRIES,
            },
        ]
    },
    "map of paths, or list of paths and maps",
)

OUTPUTS = Form(_read_outputs, {"anyOf": [LOCAL_PATH.schema, make_object_schema(OUTPUT_KEYS)]}, "path, or map")


# ----------------------------------------------------------------------------------------------------------- resources

GPU_KEYS = {
    "count": Key(
        COUNT,
        "How many GPUs.",
        limits=f"0 to {MAX_GPUS}",
        example="1",
        required=True,
    ),
    "model": Key(
        GPU_MODEL,
        'Words of the model\'s name: `H200` finds "NVIDIA H200".',
        default="any",
        limits="up to 64 printable ASCII characters",
        example="H200",
    ),
}


def _read_gpus(reading: Reading, node: Node, path: str) -> tuple[int, str] | None:
    if isinstance(node, Scalar):
        count = COUNT.read(reading, node, path)
        return None if count is None else (count, "")
    values = read_keys(reading, node, path, GPU_KEYS)
    if values.get("count") is None:
        return None
    model = values.get("model") or ""
    if model and not values["count"]:
        reading.note(node.line, path, f"names model {model} with a count of 0")
    return (values["count"], model)


GPUS = Form(
    _read_gpus, {"anyOf": [COUNT.schema, make_object_schema(GPU_KEYS)]}, "whole number, or map of the keys below"
)

RESOURCE_KEYS = {
    "vcpus": Key(
        VCPUS,
        "CPU cores; the job is slowed down beyond them.",
        default="1",
        limits="over 0, in thousandths",
        example="1.5",
    ),
    "memory": Key(
        SIZE,
        "Memory; a job that takes more is stopped.",
        default="512MiB",
        limits="over 0",
        example="512MiB",
    ),
    "disk": Key(
        SIZE,
        "Disk for all that the job brings and writes: what its inputs take is not there to write, and outputs are part of it.",
        default="1GiB",
        example="1GiB",
    ),
    "shm": Key(
        ROOM,
        "Room for files in `/dev/shm`, which are memory of the job: PyTorch's data loaders pass their batches there.",
        default=HALF,
        limits="at most the memory",
        example="256MiB",
    ),
    "tmp": Key(
        ROOM,
        "Room for files in `/tmp`, which are memory of the job too; `/var/tmp` lies on its disk.",
        default=HALF,
        limits="at most the memory",
        example="64MiB",
    ),
    "gpus": Key(
        GPUS,
        "GPUs: how many, or how many of which model.",
        default="0",
        limits=f"0 to {MAX_GPUS}",
        example="{count: 1, model: H200}",
        keys=GPU_KEYS,
    ),
}


def _read_resources(reading: Reading, node: Node, path: str) -> ResourceShare | None:
    values = read_keys(reading, node, path, RESOURCE_KEYS)
    if None in values.values():
        return None
    gpus, model = values.get("gpus", (0, ""))
    resources = Resources(
        values.get("vcpus", DEFAULT_RESOURCES.vcpu_milli),
        values.get("memory", DEFAULT_RESOURCES.memory_bytes),
        values.get("disk", DEFAULT_RESOURCES.disk_bytes),
        gpus,
        model,
    )
    if not resources.vcpu_milli or not resources.memory_bytes:
        reading.note(node.line, path, "a job needs some vcpus and some memory")
        return None
    room = {name: values.get(name, 0) for name in ("shm", "tmp")}
    for name, size in room.items():
        if size > resources.memory_bytes:
            here = join_path(path, name)
            reading.note(reading.lines[here], here, "larger than the memory, which it is part of", "raise memory")
    return ResourceShare(resources, room["shm"], room["tmp"])


RESOURCES = Form(_read_resources, make_object_schema(RESOURCE_KEYS), "map")


# ---------------------------------------------------------------------------------------------------------------- stop

STOP_KEYS = {
    "signal": Key(
        SIGNAL,
        "What asks the job to end; every process of it gets it.",
        default="the image's own, else SIGTERM",
        limits=", ".join(f"`{name}`" for name in STOP_SIGNALS if name),
        example="SIGINT",
    ),
    "grace": Key(
        GRACE,
        "How long it may take from then on, before it is killed. `0s`: it is killed at once.",
        default="10s",
        limits=f"0s to {MAX_GRACE_NS // NANOS_PER_SECOND}s",
        example="60s",
    ),
}


def _read_stop(reading: Reading, node: Node, path: str) -> StopOrder | None:
    values = read_keys(reading, node, path, STOP_KEYS)
    if None in values.values():
        return None
    return StopOrder(values.get("signal", ""), values.get("grace", DEFAULT_GRACE_NS))


STOP = Form(_read_stop, make_object_schema(STOP_KEYS), "map")


# ----------------------------------------------------------------------------------------------------------------- bid


def _price(description: str, example: str) -> Key:
    return Key(MONEY, description, default="any price", example=example)


BID_KEYS = {
    "vcpu_hour": _price("Per vCPU and hour of CPU time used.", "0.2"),
    "memory_gib_hour": _price("Per GiB of memory and hour.", "0.05"),
    "disk_gib_hour": _price("Per GiB of disk and hour.", "0.001"),
    "gpu_hour": _price("Per GPU and hour.", "3"),
    "ingress_gb": _price("Per 10^9 bytes in.", "0.01"),
    "egress_gb": _price("Per 10^9 bytes out.", "0.05"),
}
assert tuple(BID_KEYS) == Tariff.__struct_fields__


def _read_bid(reading: Reading, node: Node, path: str) -> tuple[tuple[str, Money], ...] | None:
    values = read_keys(reading, node, path, BID_KEYS)
    return tuple((name, price) for name, price in values.items() if price is not None)


BID = Form(_read_bid, make_object_schema(BID_KEYS), "map")
