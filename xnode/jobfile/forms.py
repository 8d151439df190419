"""Forms: the ways in which values of a job file are written: reader, JSON Schema and name of each in one place."""

from __future__ import annotations

from scheduler.job import MAX_INPUTS, MAX_NAME_CHARS, MAX_REGIONS, STOP_SIGNALS
from xnode.jobfile.fields import Form, make_list_reader, make_reader, make_word_reader, one_or_list
from xnode.jobfile.values import (
    ASSET_PATTERN,
    GRACE_PATTERN,
    HALF,
    IMAGE_PATTERN,
    MAX_GPUS,
    MODEL_PATTERN,
    NETWORK_PATTERN,
    PLATFORM_PATTERN,
    REGION_PATTERN,
    SIGNAL_PATTERN,
    read_count,
    read_grace_ns,
    read_image,
    read_input_path,
    read_local_path,
    read_name,
    read_network,
    read_platform,
    read_room,
)
from xnode.text.quantity import (
    DURATION_PATTERN,
    MONEY_PATTERN,
    NUMBER_PATTERN,
    SIZE_PATTERN,
    read_duration_ns,
    read_milli,
    read_money,
    read_ppm,
    read_size,
)

_LOCAL = {"type": "string", "minLength": 1}
_NUMBER_TEXT = {"type": "string", "pattern": NUMBER_PATTERN}
_SIZE = {"type": "string", "pattern": SIZE_PATTERN}
_REGION = {"type": "string", "pattern": REGION_PATTERN}

NAME = Form(make_reader(read_name), {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS}, "text")
IMAGE = Form(make_reader(read_image), {"type": "string", "pattern": IMAGE_PATTERN}, "image")
PLATFORM = Form(make_reader(read_platform), {"type": "string", "pattern": PLATFORM_PATTERN}, "platform")
INPUT_PATH = Form(make_reader(read_input_path), _LOCAL, "relative path")
LOCAL_PATH = Form(make_reader(read_local_path), _LOCAL, "path")
PATTERNS = Form(
    make_list_reader(LOCAL_PATH.read, MAX_INPUTS), one_or_list(_LOCAL, MAX_INPUTS), "pattern, or list of patterns"
)
COUNT = Form(make_reader(read_count), {"type": "integer", "minimum": 0, "maximum": MAX_GPUS}, "whole number")
GPU_MODEL = Form(
    make_word_reader(MODEL_PATTERN, "a GPU model of up to 64 characters"),
    {"type": "string", "pattern": MODEL_PATTERN},
    "text",
)


def _suggest_signal(text: str) -> str:
    name = f"SIG{text.upper().removeprefix('SIG')}"
    if name == "SIGKILL":
        return "for a kill at once write grace: 0s"
    return f"did you mean {name}?" if name in STOP_SIGNALS else ""


VCPUS = Form(make_reader(read_milli), {"anyOf": [{"type": "number", "minimum": 0}, _NUMBER_TEXT]}, "number")
SIZE = Form(make_reader(read_size), _SIZE, "size")
ROOM = Form(make_reader(read_room), {"anyOf": [_SIZE, {"const": HALF}]}, f"size, or {HALF}")
SIGNAL = Form(
    make_word_reader(SIGNAL_PATTERN, f"one of {', '.join(filter(None, STOP_SIGNALS))}", _suggest_signal),
    {"type": "string", "pattern": SIGNAL_PATTERN},
    "signal",
)
GRACE = Form(make_reader(read_grace_ns), {"type": "string", "pattern": GRACE_PATTERN}, "time")
DURATION = Form(make_reader(read_duration_ns), {"type": "string", "pattern": DURATION_PATTERN}, "time")
NETWORK = Form(
    make_reader(read_network),
    {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": NETWORK_PATTERN}, _SIZE]},
    "true, false or size",
)
MONEY = Form(
    make_reader(read_money),
    {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": MONEY_PATTERN}]},
    "amount",
)
ASSET = Form(
    make_word_reader(ASSET_PATTERN, "an asset: a symbol such as OPENX, or a 0x address"),
    {"type": "string", "pattern": ASSET_PATTERN},
    "symbol or 0x address",
)
REGIONS = Form(
    make_list_reader(make_word_reader(REGION_PATTERN, "a region's name"), MAX_REGIONS),
    one_or_list(_REGION, MAX_REGIONS),
    "name, or list of names",
)
FRACTION = Form(
    make_reader(read_ppm), {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _NUMBER_TEXT]}, "number"
)

WRITTEN = {
    "amount": "A decimal number, with or without the asset's symbol: `5`, `0.25`, `5 OPENX`.",
    "size": "A number and a unit: B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).",
    "time": "Whole numbers with d, h, m and s in this order: `90s`, `1h30m`, `2d`.",
    "path": "A path of printable characters, relative to the job file's directory.",
    "relative path": "Without empty, `.` or `..` parts and without control characters.",
}
"""What the names of forms mean, for the reference."""
