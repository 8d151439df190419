"""Job file: what a submitter writes on one YAML page to have a job run."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from typing import Any, Literal

import msgspec

from metering.resources import Resources
from metering.tariff import Tariff
from metering.units import BYTES_PER_GB, BYTES_PER_GIB, U128_MAX, Amount
from scheduler.job import MAX_INPUTS, MAX_NAME_CHARS, MAX_TEXT_BYTES, MAX_WORDS, check_path
from xnode.jobfile.fields import (
    Key,
    Reading,
    join_path,
    make_list_reader,
    make_object_schema,
    make_reader,
    make_word_reader,
    read_entries,
    read_keys,
    read_text,
)
from xnode.jobfile.yaml_tree import MAX_PROBLEMS, Listing, Node, PageError, Problem, Scalar, read_page
from xnode.text.quantity import (
    DURATION_PATTERN,
    MONEY_PATTERN,
    NUMBER_PATTERN,
    SIZE_PATTERN,
    Money,
    read_duration_ns,
    read_milli,
    read_money,
    read_ppm,
    read_size,
)

DEFAULT_NETWORK_BYTES = BYTES_PER_GB
"""`network: true` without a size: enough to fetch packages, not enough to surprise."""

STAKE_ASSET = "OPENX"
"""The network's own asset: what stake is in, and what a job pays in when its file names none."""

MAX_GPUS = 1_024
"""Of one job, which runs on one host."""

MAX_REGIONS = 64
"""Whoever names more regions than this wants any."""

_YES = tuple(form for word in ("true", "yes", "on") for form in (word, word.capitalize(), word.upper()))
_NO = tuple(form for word in ("false", "no", "off") for form in (word, word.capitalize(), word.upper()))

_IMAGE_PATTERN = r"^(?:sha256:[0-9a-f]{64}|oci:[^\x00-\x1f\x7f]+|[a-z0-9][\x21-\x3f\x41-\x7e]*@sha256:[0-9a-f]{64})$"
_VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_ASSET_PATTERN = r"^(?:0x[0-9a-fA-F]{40}|[A-Za-z][A-Za-z0-9]{0,15})$"
_WORD_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_MODEL_PATTERN = r"^[\x20-\x7e]{0,64}$"


class ImageSource(msgspec.Struct, frozen=True):
    """Where the image is. kind "digest": in our store; "layout": an OCI layout directory at `path`; "registry": at
    `reference`, which ends in the digest."""

    kind: Literal["digest", "layout", "registry"]
    digest: str = ""
    path: str = ""
    reference: str = ""


class InputSource(msgspec.Struct, frozen=True):
    """A local file `source` that the job finds at /work/in/`path`."""

    path: str
    source: str


class OutputTarget(msgspec.Struct, frozen=True):
    """to: the local directory that /work/out comes into; only: patterns of the paths wanted (empty: everything)."""

    to: str
    only: tuple[str, ...] = ()


class JobFile(msgspec.Struct, frozen=True):
    """A checked job file. asset: a symbol or 0x address; bid: price name and price (None: any price);
    outputs: None when the submitter asks for none."""

    name: str
    image: ImageSource
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[InputSource, ...]
    outputs: OutputTarget | None
    resources: Resources
    duration_limit_ns: int
    network: bool
    network_bytes: int
    asset: str
    budget: Money
    bid: tuple[tuple[str, Money], ...] | None
    regions: tuple[str, ...]
    min_stake: Money
    min_availability_ppm: int


def validate_jobfile(text: str, filename: str) -> JobFile | list[Problem]:
    """The job file, or every problem in it by line. Raises nothing, whatever the text is."""
    reading = Reading(filename)
    try:
        page = read_page(text)
    except PageError as error:
        return [Problem(filename, error.line, "", error.text)]
    values = read_keys(reading, page, "", JOB_KEYS)
    jobfile = _make_jobfile(reading, values)
    if jobfile is None or reading.problems:
        return sorted(reading.problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]
    return jobfile


def make_bid(jobfile: JobFile, decimals: int) -> Tariff | None:
    """The bid in base units of an asset with so many decimals; a price not named may be anything. Raises ValueError."""
    if jobfile.bid is None:
        return None
    named = {name: price.to_amount(decimals) for name, price in jobfile.bid}
    return Tariff(**{name: named.get(name, Amount(U128_MAX)) for name in Tariff.__struct_fields__})


def make_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a job file, for editors; made from the same table as the reader."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xnode job file",
        **make_object_schema(JOB_KEYS),
    }


def make_example() -> str:
    """A job file with every key explained, to begin from."""
    return files("xnode.jobfile").joinpath("example.yaml").read_text(encoding="utf-8")


def _convert_name(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME_CHARS or not text.isprintable():
        raise ValueError(f"must have 1 to {MAX_NAME_CHARS} printable characters")
    return text


def _convert_image(text: str) -> ImageSource:
    if text.startswith("oci:") and re.fullmatch(_IMAGE_PATTERN, text):
        return ImageSource("layout", path=text.removeprefix("oci:"))
    if re.fullmatch(_IMAGE_PATTERN, text):
        reference, _, digest = text.rpartition("@")
        return ImageSource("registry" if reference else "digest", digest=digest, reference=text if reference else "")
    if "sha256:" not in text and not text.startswith("oci:"):
        raise ValueError(
            f"{text[:40]!a} names no fixed image; add @sha256:DIGEST, or use oci:DIRECTORY or sha256:DIGEST"
        )
    raise ValueError(f"{text[:40]!a} is not oci:DIRECTORY, sha256:DIGEST or REFERENCE@sha256:DIGEST (64 hex digits)")


def _read_command(reading: Reading, node: Node, path: str) -> tuple[str, ...] | None:
    if isinstance(node, Scalar):
        words: tuple[str, ...] | None = make_reader(lambda text: tuple(shlex.split(text)))(reading, node, path)
    else:
        words = make_list_reader(read_text, MAX_WORDS)(reading, node, path)
    if words is not None and not words:
        reading.note(node.line, path, "is empty; take the line out to run what the image says")
        return None
    return _check_length(reading, node, path, words)


def _check_length(reading: Reading, node: Node, path: str, words: tuple[str, ...] | None) -> tuple[str, ...] | None:
    # Half each for command and environment: check_job() limits both together.
    most_words, most_bytes = MAX_WORDS, MAX_TEXT_BYTES // 2
    if words and (len(words) > most_words or sum(len(word.encode()) + 1 for word in words) > most_bytes):
        reading.note(node.line, path, f"is longer than {most_words} words or {most_bytes} bytes; use an input file")
        return None
    return words


def _read_env(reading: Reading, node: Node, path: str) -> tuple[tuple[str, str], ...] | None:
    entries = read_entries(reading, node, path)
    if entries is None:
        return None
    pairs = []
    for key, value in entries:
        here = join_path(path, key.text)
        if not re.fullmatch(_VARIABLE_PATTERN, key.text):
            reading.note(key.line, here, "is not a variable's name: letters, digits and _, not a digit first")
            continue
        text = "" if isinstance(value, Scalar) and value.is_null else read_text(reading, value, here)
        if text is not None:
            pairs.append((key.text, text))
    words = tuple(word for pair in pairs for word in pair)
    return None if _check_length(reading, node, path, words) is None else tuple(pairs)


def _convert_path(text: str) -> str:
    wrong = check_path(text)
    if wrong:
        raise ValueError(f"{text[:40]!a} {wrong}")
    return text


def _convert_local(text: str) -> str:
    if not text.isprintable() or not text:
        raise ValueError("must be a path of printable characters")
    return text


def _read_inputs(reading: Reading, node: Node, path: str) -> tuple[InputSource, ...] | None:
    found: list[InputSource | None] = []
    if isinstance(node, Listing):
        for place, item in enumerate(node.items):
            values = read_keys(reading, item, f"{path}[{place}]", INPUT_KEYS)
            found.append(_make_input(values.get("path"), values.get("from")))
    else:
        for key, value in read_entries(reading, node, path) or []:
            here = join_path(path, key.text)
            inside = make_reader(_convert_path)(reading, key, here)
            found.append(_make_input(inside, make_reader(_convert_local)(reading, value, here)))
    inputs = tuple(one for one in found if one is not None)
    return _check_inputs(reading, node, path, inputs)


def _make_input(path: str | None, source: str | None) -> InputSource | None:
    return None if path is None or source is None else InputSource(path, source)


def _check_inputs(
    reading: Reading, node: Node, path: str, inputs: tuple[InputSource, ...]
) -> tuple[InputSource, ...] | None:
    if len(inputs) > MAX_INPUTS:
        reading.note(node.line, path, f"has {len(inputs)} files, the limit is {MAX_INPUTS}; pack them into an archive")
        return None
    paths = {one.path for one in inputs}
    for one in inputs:
        parts = one.path.split("/")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            reading.note(node.line, path, f"{one.path[:40]!a} lies below another input")
    if len(paths) < len(inputs):
        reading.note(node.line, path, "two inputs have the same path")
    return inputs


def _read_outputs(reading: Reading, node: Node, path: str) -> OutputTarget | None:
    if isinstance(node, Scalar):
        to = make_reader(_convert_local)(reading, node, path)
        return OutputTarget(to) if to is not None else None
    values = read_keys(reading, node, path, OUTPUT_KEYS)
    return OutputTarget(values["to"], values.get("only") or ()) if values.get("to") else None


def _read_gpus(reading: Reading, node: Node, path: str) -> tuple[int, str] | None:
    if isinstance(node, Scalar):
        count = make_reader(_convert_count)(reading, node, path)
        return None if count is None else (count, "")
    values = read_keys(reading, node, path, GPU_KEYS)
    if values.get("count") is None:
        return None
    model = values.get("model") or ""
    if model and not values["count"]:
        reading.note(node.line, path, f"names model {model} with a count of 0")
    return (values["count"], model)


def _convert_count(text: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text) or int(text) > MAX_GPUS:
        raise ValueError(f"{text[:40]!a} is not a whole number from 0 to {MAX_GPUS}")
    return int(text)


def _read_resources(reading: Reading, node: Node, path: str) -> Resources | None:
    values = read_keys(reading, node, path, RESOURCE_KEYS)
    if None in values.values():
        return None
    gpus, model = values.get("gpus", (0, ""))
    resources = Resources(
        values.get("vcpus", 1_000),
        values.get("memory", BYTES_PER_GIB // 2),
        values.get("disk", BYTES_PER_GIB),
        gpus,
        model,
    )
    if not resources.vcpu_milli or not resources.memory_bytes:
        reading.note(node.line, path, "a job needs some vcpus and some memory")
        return None
    return resources


def _convert_network(text: str) -> int:
    """Bytes each way; 0 for no network."""
    if text in _YES or text in _NO:
        return DEFAULT_NETWORK_BYTES if text in _YES else 0
    try:
        return read_size(text)
    except ValueError:
        raise ValueError(f'{text[:40]!a} is not true, false or a size such as "10GB"') from None


def _read_bid(reading: Reading, node: Node, path: str) -> tuple[tuple[str, Money], ...] | None:
    values = read_keys(reading, node, path, BID_KEYS)
    return tuple((name, price) for name, price in values.items() if price is not None)


def _make_jobfile(reading: Reading, values: dict[str, Any]) -> JobFile | None:
    budget = values.get("budget")
    asset = values.get("asset") or (budget.symbol if budget else "") or STAKE_ASSET
    stake = values.get("min_stake")
    if stake and stake.symbol not in ("", STAKE_ASSET):
        reading.note(reading.lines["min_stake"], "min_stake", f"is in {stake.symbol}, stake is always {STAKE_ASSET}")
    prices = [("budget", budget), *((f"bid.{name}", price) for name, price in values.get("bid") or ())]
    for path, money in prices:
        if money and money.symbol not in ("", asset):
            reading.note(reading.lines.get(path, 1), path, f"is in {money.symbol}, the job pays in {asset}")
    if reading.problems:
        return None
    network_bytes = values.get("network", 0)
    return JobFile(
        name=values.get("name", "job"),
        image=values["image"],
        command=values.get("command", ()),
        env=values.get("env", ()),
        inputs=values.get("inputs", ()),
        outputs=values.get("outputs"),
        resources=values.get("resources", Resources(1_000, BYTES_PER_GIB // 2, BYTES_PER_GIB)),
        duration_limit_ns=values["time_limit"],
        network=network_bytes > 0,
        network_bytes=network_bytes,
        asset=asset,
        budget=values["budget"],
        bid=values.get("bid"),
        regions=values.get("regions", ()),
        min_stake=values.get("min_stake", Money(0, 0)),
        min_availability_ppm=values.get("min_availability", 0),
    )


# ---------------------------------------------------------------------------------------------- the table of keys

_TEXT = {"type": ["string", "number", "boolean"]}
_NUMBER = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": NUMBER_PATTERN}]}
_PART = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": NUMBER_PATTERN}]}
_MONEY = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": MONEY_PATTERN}]}
_SIZE = {"type": "string", "pattern": SIZE_PATTERN}
_LOCAL = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_GPUS}
_NETWORK_WORDS = f"^(?:{'|'.join(_YES + _NO)})$"


def _texts(one: dict[str, Any], limit: int) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one, "maxItems": limit}]}


INPUT_KEYS = {
    "path": Key(make_reader(_convert_path), _LOCAL, required=True),
    "from": Key(make_reader(_convert_local), _LOCAL, required=True),
}

OUTPUT_KEYS = {
    "to": Key(make_reader(_convert_local), _LOCAL, required=True),
    "only": Key(make_list_reader(make_reader(_convert_local), MAX_INPUTS), _texts(_LOCAL, MAX_INPUTS)),
}

GPU_KEYS = {
    "count": Key(make_reader(_convert_count), _COUNT, required=True),
    "model": Key(
        make_word_reader(_MODEL_PATTERN, "a GPU model of up to 64 characters"),
        {"type": "string", "pattern": _MODEL_PATTERN},
    ),
}

RESOURCE_KEYS = {
    "vcpus": Key(make_reader(read_milli), _NUMBER),
    "memory": Key(make_reader(read_size), _SIZE),
    "disk": Key(make_reader(read_size), _SIZE),
    "gpus": Key(_read_gpus, {"anyOf": [_COUNT, make_object_schema(GPU_KEYS)]}),
}

BID_KEYS = {name: Key(make_reader(read_money), _MONEY) for name in Tariff.__struct_fields__}

JOB_KEYS = {
    "name": Key(make_reader(_convert_name), {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS}),
    "image": Key(make_reader(_convert_image), {"type": "string", "pattern": _IMAGE_PATTERN}, required=True),
    "command": Key(
        _read_command,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_WORDS}]},
    ),
    "env": Key(
        _read_env,
        {
            "type": "object",
            "propertyNames": {"pattern": _VARIABLE_PATTERN},
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
    ),
    "inputs": Key(
        _read_inputs,
        {
            "anyOf": [
                {"type": "object", "additionalProperties": _LOCAL, "maxProperties": MAX_INPUTS},
                {"type": "array", "items": make_object_schema(INPUT_KEYS), "maxItems": MAX_INPUTS},
            ]
        },
    ),
    "outputs": Key(_read_outputs, {"anyOf": [_LOCAL, make_object_schema(OUTPUT_KEYS)]}),
    "resources": Key(_read_resources, make_object_schema(RESOURCE_KEYS)),
    "time_limit": Key(make_reader(read_duration_ns), {"type": "string", "pattern": DURATION_PATTERN}, required=True),
    "network": Key(
        make_reader(_convert_network),
        {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _NETWORK_WORDS}, _SIZE]},
    ),
    "asset": Key(
        make_word_reader(_ASSET_PATTERN, "an asset: a symbol such as OPENX, or a 0x address"),
        {"type": "string", "pattern": _ASSET_PATTERN},
    ),
    "budget": Key(make_reader(read_money), _MONEY, required=True),
    "bid": Key(_read_bid, make_object_schema(BID_KEYS)),
    "regions": Key(
        make_list_reader(make_word_reader(_WORD_PATTERN, "a region's name"), MAX_REGIONS),
        _texts({"type": "string", "pattern": _WORD_PATTERN}, MAX_REGIONS),
    ),
    "min_stake": Key(make_reader(read_money), _MONEY),
    "min_availability": Key(make_reader(read_ppm), _PART),
}
"""Every key of a job file: the reader and the JSON Schema are both made from it."""
