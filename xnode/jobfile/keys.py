"""Keys: the one table of what may stand in a job file; reader, JSON Schema and reference are made from it."""

from __future__ import annotations

from typing import Any

from scheduler.job import MAX_INPUT_FILES, MAX_NAME_CHARS, MAX_REGIONS, MAX_WORDS
from xnode.jobfile.fields import Key, make_object_schema
from xnode.jobfile.forms import ASSET, DURATION, FRACTION, IMAGE, MONEY, NAME, NETWORK, PLATFORM, REGIONS
from xnode.jobfile.maps import (
    BID,
    BID_KEYS,
    COMMAND,
    ENV,
    INPUT_KEYS,
    INPUTS,
    MAX_ENTRIES,
    MAX_WORDS_BYTES,
    OUTPUT_KEYS,
    OUTPUTS,
    RESOURCE_KEYS,
    RESOURCES,
    STOP,
    STOP_KEYS,
)

JOB_KEYS = {
    "name": Key(
        NAME,
        "What the job is called in lists.",
        default="job",
        limits=f"1 to {MAX_NAME_CHARS} printable characters",
        example="hello",
    ),
    "image": Key(
        IMAGE,
        "The container image. A path is one on this machine, whose bytes go to the provider directly: an OCI layout "
        "directory, or an archive that `podman save`, `docker save`, buildx, skopeo or kaniko wrote (`oci:`, `oci-archive:` "
        "and `docker-archive:` may stand before it, `:NAME` behind it where it holds several). "
        "`REFERENCE@sha256:DIGEST` is one from a registry, pinned by its digest; any other name, and `sha256:DIGEST`, "
        "is one that `xnode image ls` shows.",
        example="oci:./image",
        required=True,
    ),
    "platform": Key(
        PLATFORM,
        "Which of the platforms to take that the image is for; a provider with other processors is not asked.",
        default="linux/amd64 if the image has it, else its first for Linux",
        example="linux/arm64",
    ),
    "command": Key(
        COMMAND,
        "What to run: a list of words, or one line that is split as a shell does. No shell runs it.",
        default="the image's own",
        limits=f"at most {MAX_WORDS} words and {MAX_WORDS_BYTES} bytes",
        example='[sh, -c, "echo $GREETING > /work/out/greeting.txt"]',
    ),
    "args": Key(
        COMMAND,
        "Words after the image's own entrypoint, in place of the image's own words there. With a `command`, they follow it.",
        default="the image's own, none with a `command`",
        limits=f"at most {MAX_WORDS} words and {MAX_WORDS_BYTES} bytes",
        example="[--epochs, 3]",
    ),
    "env": Key(
        ENV,
        "Variables of the job's environment. Values are text exactly as written.",
        default="none",
        limits=f"at most {MAX_WORDS} words and {MAX_WORDS_BYTES} bytes; names of letters, digits and `_`",
        example="{GREETING: hello}",
    ),
    "inputs": Key(
        INPUTS,
        "Files that the job finds in `/work/in`, read-only, and executable where they are so here: a map from the path "
        "there to the file, directory or pattern here, or a list of files, directories and patterns, each of which keeps "
        "its name, or of maps with the keys below. See [the rules](images.md#inputs).",
        default="none",
        limits=f"at most {MAX_INPUT_FILES} files in all, from at most {MAX_ENTRIES} lines",
        example="{words.txt: ./words.txt}",
        keys=INPUT_KEYS,
    ),
    "outputs": Key(
        OUTPUTS,
        "Where what the job leaves in `/work/out` comes to: a directory here, or a map of the keys below. The node puts it "
        "there when the job ends, whether or not anybody follows; [outputs](outputs.md) tells what is taken.",
        default="kept by the node for `xnode job cp`",
        example="./results",
        keys=OUTPUT_KEYS,
    ),
    "resources": Key(
        RESOURCES,
        "What the job gets of a host. It pays for memory, disk and GPUs as reserved, for CPU as used.",
        default="the defaults of the keys below",
        example="{vcpus: 1.5, memory: 512MiB, disk: 1GiB}",
        keys=RESOURCE_KEYS,
    ),
    "time_limit": Key(
        DURATION,
        "The job is stopped after this much time.",
        limits="over 0s; providers have limits of their own",
        example="10m",
        required=True,
    ),
    "stop": Key(
        STOP,
        "How the job is asked to end when its time or money is over, or when it is stopped. The grace after the time limit "
        "costs nothing.",
        default="the defaults of the keys below",
        example="{signal: SIGINT, grace: 60s}",
        keys=STOP_KEYS,
    ),
    "network": Key(
        NETWORK,
        "Access to the internet, and how many bytes it is good for each way; `true` is 1GB. What is more is dropped.",
        default="false",
        example="10GB",
    ),
    "asset": Key(
        ASSET,
        "What the job pays in.",
        default="the budget's symbol, else OPENX",
        example="OPENX",
    ),
    "budget": Key(
        MONEY,
        "The job never costs more than this.",
        example="5 OPENX",
        required=True,
    ),
    "bid": Key(
        BID,
        "The highest prices to accept.",
        default="any price within the budget",
        example="{vcpu_hour: 0.2, gpu_hour: 3}",
        keys=BID_KEYS,
    ),
    "regions": Key(
        REGIONS,
        "Only providers in one of these regions.",
        default="any",
        limits=f"at most {MAX_REGIONS} names of letters, digits, `.`, `_` and `-`",
        example="[eu-west, eu-north]",
    ),
    "min_stake": Key(
        MONEY,
        "Only providers with at least this stake, and in default of no credits that they sold.",
        default="0",
        limits="in OPENX",
        example="100 OPENX",
    ),
    "min_availability": Key(
        FRACTION,
        "Only providers that promise at least this availability, with a refund for less.",
        default="0",
        limits="0 to 1, in millionths",
        example="0.99",
    ),
    "prepay": Key(
        DURATION,
        "How long this node may be away (asleep, stopped, offline) while the job goes on: so much work is paid ahead of its "
        "receipts, and the provider is trusted with the money.",
        default="0s: after a minute without payment the provider stops the job",
        limits="up to `submitter.max_prepay` of the settings",
        example="8h",
    ),
}
"""Every key of a job file."""


def make_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a job file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xnode job file",
        **make_object_schema(JOB_KEYS),
    }
