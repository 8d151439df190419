"""The job file: what is read, how mistakes are reported, and that no text can do harm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import xnode
from metering.resources import Resources
from metering.units import BYTES_PER_GB, BYTES_PER_GIB, NANOS_PER_SECOND, U128_MAX
from xnode.jobfile.fields import Key
from xnode.jobfile.jobfile import ImageSource, InputSource, JobFile, OutputTarget, StopOrder, bid_of
from xnode.jobfile.keys import JOB_KEYS, make_schema
from xnode.jobfile.maps import BID_KEYS, GPU_KEYS, INPUT_KEYS, OUTPUT_KEYS, RESOURCE_KEYS, STOP_KEYS
from xnode.jobfile.read import make_example, validate_jobfile
from xnode.jobfile.yaml_tree import MAX_PAGE_BYTES, MAX_PROBLEMS
from xnode.text.quantity import Money

DIGEST = "sha256:" + "ab" * 32
BASIC = "image: oci:./image\ntime_limit: 10m\nbudget: 5 OPENX\n"


def read(text: str) -> JobFile:
    """The job file of a text that must be right."""
    found = validate_jobfile(text, "job.yaml")
    assert isinstance(found, JobFile), [str(problem) for problem in found]
    return found


def problems_of(text: str) -> list[str]:
    """The problems of a text that must be wrong."""
    found = validate_jobfile(text, "job.yaml")
    assert isinstance(found, list) and found
    return [str(problem).replace("\nhint: ", " | hint: ") for problem in found]


def test_three_lines_are_enough() -> None:
    job = read(BASIC)
    assert job.image == ImageSource("layout", path="./image")
    assert (job.name, job.command, job.env, job.inputs, job.outputs) == ("job", (), (), (), None)
    assert job.resources == Resources(1_000, BYTES_PER_GIB // 2, BYTES_PER_GIB)
    assert (job.args, job.shm_bytes, job.tmp_bytes, job.stop) == ((), 0, 0, StopOrder("", 10 * NANOS_PER_SECOND))
    assert (job.duration_limit_ns, job.network, job.network_bytes) == (600 * NANOS_PER_SECOND, False, 0)
    assert (job.asset, job.budget, job.bid) == ("OPENX", Money(5, 0, "OPENX"), None)


def test_everything_is_read() -> None:
    job = read(
        f"""
name: training
image: ghcr.io/me/train:v2@{DIGEST}
command: python3 -m train --name "two words"
args: [--seed, 7]
env: {{EPOCHS: 03, DEBUG: yes, EMPTY: }}
inputs:
  - {{path: data/a.csv, from: ~/a.csv}}
  - path: b.csv
    from: ./b.csv
outputs: {{to: ./results, only: ["*.csv", "model/*"]}}
resources: {{vcpus: 1.5, memory: 1.5GiB, disk: 10 GB, gpus: {{count: 2, model: NVIDIA H200}}, shm: 1GiB, tmp: 64MiB}}
time_limit: 1h30m
stop: {{signal: SIGINT, grace: 1m30s}}
network: 10GB
asset: USDC
budget: "12.50"
bid: {{vcpu_hour: 0.2, gpu_hour: 3 USDC}}
regions: [eu-west, us-east]
min_stake: 100 OPENX
min_availability: 0.995
"""
    )
    assert job.image == ImageSource("registry", digest=DIGEST, reference=f"ghcr.io/me/train:v2@{DIGEST}")
    assert job.command == ("python3", "-m", "train", "--name", "two words")
    assert job.env == (("EPOCHS", "03"), ("DEBUG", "yes"), ("EMPTY", "")), "values are text as it is written"
    assert job.inputs == (InputSource("data/a.csv", "~/a.csv"), InputSource("b.csv", "./b.csv"))
    assert job.outputs == OutputTarget("./results", ("*.csv", "model/*"))
    assert job.resources == Resources(1_500, 3 * BYTES_PER_GIB // 2, 10 * BYTES_PER_GB, 2, "NVIDIA H200")
    assert (job.duration_limit_ns, job.network, job.network_bytes) == (
        5_400 * NANOS_PER_SECOND,
        True,
        10 * BYTES_PER_GB,
    )
    assert (job.asset, job.budget.to_amount(6)) == ("USDC", 12_500_000)
    assert job.bid == (("vcpu_hour", Money(2, 1)), ("gpu_hour", Money(3, 0, "USDC")))
    assert (job.regions, job.min_stake) == (("eu-west", "us-east"), Money(100, 0, "OPENX"))
    assert job.min_availability_ppm == 995_000
    assert (job.args, job.shm_bytes, job.tmp_bytes) == (("--seed", "7"), BYTES_PER_GIB, BYTES_PER_GIB // 16)
    assert job.stop == StopOrder("SIGINT", 90 * NANOS_PER_SECOND)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (f"image: {DIGEST}", "image", ImageSource("digest", digest=DIGEST)),
        ("inputs: {in/a: ./b}", "inputs", (InputSource("in/a", "./b"),)),
        ("regions: eu-west", "regions", ("eu-west",)),
        ("network: true", "network_bytes", BYTES_PER_GB),
        ("network: no", "network", False),
        ("command: [echo, 1, true]", "command", ("echo", "1", "true")),
        ("outputs: out", "outputs", OutputTarget("out")),
        ("args: --seed 7", "args", ("--seed", "7")),
        ("stop: {grace: 0s}", "stop", StopOrder("", 0)),
        ("stop: {grace: 120s}", "stop", StopOrder("", 120 * NANOS_PER_SECOND)),
        ("stop: {signal: SIGUSR1}", "stop", StopOrder("SIGUSR1", 10 * NANOS_PER_SECOND)),
        ("resources: {shm: half, tmp: 512MiB}", "tmp_bytes", BYTES_PER_GIB // 2),
    ],
)
def test_short_forms_mean_the_same(line: str, name: str, value: Any) -> None:
    key = line.partition(":")[0]
    kept = "".join(f"{basic}\n" for basic in BASIC.splitlines() if not basic.startswith(key))
    assert getattr(read(kept + line), name) == value


def test_every_problem_is_reported_at_once_with_its_line_and_path() -> None:
    text = """name: x
image: alpine:latest
comand: ls
resources:
  memry: 5
  memory: 512M
time_limit: 10
budget: 5 USDC
asset: OPENX
env: {1A: 3, B: [1]}
bid: {vcpu_hour: -1}
inputs: {../x: ./x}
"""
    lines = problems_of(text)
    begins = [re.match(r"job\.yaml:(\d+): ([\w.]+):", line) for line in lines]
    assert [found and (int(found[1]), found[2]) for found in begins] == [
        (2, "image"),
        (3, "comand"),
        (5, "resources.memry"),
        (6, "resources.memory"),
        (7, "time_limit"),
        (8, "budget"),
        (10, "env.1A"),
        (10, "env.B"),
        (11, "bid.vcpu_hour"),
        None,
    ]
    assert lines[-1].startswith("job.yaml:12: inputs.'../x': '../x' must be relative")
    assert lines[1] == "job.yaml:3: comand: unknown key | hint: did you mean command?"
    assert lines[2] == "job.yaml:5: resources.memry: unknown key | hint: did you mean memory?"
    assert lines[3].endswith("not a size | hint: did you mean 512MiB?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "job.yaml:1: the file is empty"),
        ("# nothing\n", "job.yaml:1: the file is empty"),
        ("just words", "job.yaml:1: not a map of keys and values"),
        ("a: {", "job.yaml:1: not YAML"),
        ("a: &x 1\nb: *x", "job.yaml:1: anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", "job.yaml:1: tags"),
        ("a: 1\n---\nb: 1", "job.yaml:2: a second document"),
        ("[" * 200 + "]" * 200, "job.yaml:1: nested deeper"),
        ("{[a]: b}", "job.yaml:1: a key must be a word"),
        ("a: [" + "1," * 21_000 + "]", "job.yaml:1: more than"),
        ("#" * (MAX_PAGE_BYTES + 1), "job.yaml:1: the file is larger than 256 KiB"),
        ("#" + "é" * (MAX_PAGE_BYTES // 2), "job.yaml:1: the file is larger than 256 KiB"),
        (BASIC + "budget: 6", "job.yaml:4: budget: duplicate key (first on line 3)"),
        (BASIC + "env: {A: 1, A: 2}", "job.yaml:4: env.A: duplicate key (first on line 4)"),
        (BASIC + "name:", "job.yaml:4: name: no value | hint: "),
        (BASIC + "command: []", "job.yaml:4: command: empty | hint: "),
        (BASIC + "command: 'a \"b'", "job.yaml:4: command: not a command line (No closing quotation)"),
        (BASIC + 'command: ["a\\0b"]', "job.yaml:4: command[0]: has a character"),
        (BASIC + f"command: ['{'x' * 33_000}']", "job.yaml:4: command: longer"),
        (BASIC + "resources: {vcpus: 0}", "job.yaml:4: resources: a job needs some vcpus"),
        (BASIC + "resources: {vcpus: 1.0001}", "job.yaml:4: resources.vcpus: '1.0001' is finer"),
        (BASIC + "resources: {memory: 0.3B}", "job.yaml:4: resources.memory: '0.3B' is not a whole number"),
        (BASIC + "resources: {disk: 99999999TiB}", "job.yaml:4: resources.disk: '99999999TiB' is more than"),
        (BASIC + "resources: {gpus: {model: H200}}", "job.yaml:4: resources.gpus.count: required key"),
        (BASIC + "resources: {gpus: 1.5}", "job.yaml:4: resources.gpus: '1.5' is not a whole number"),
        (BASIC + "inputs: [{path: a}]", "job.yaml:4: inputs[0].from: required key"),
        (BASIC + "inputs: {a: ./1, a/b: ./2}", "job.yaml:4: inputs: 'a/b' lies below"),
        (BASIC + "inputs: [{path: a, from: x}, {path: a, from: y}]", "job.yaml:4: inputs: two inputs"),
        (
            BASIC + "resources: {shm: 1GiB}",
            "job.yaml:4: resources.shm: larger than the memory, which it is part of | hint: ",
        ),
        (BASIC + "resources: {tmp: 0B}", "job.yaml:4: resources.tmp: no room at all | hint: "),
        (BASIC + "stop: {grace: 3m}", "job.yaml:4: stop.grace: '3m' is longer than 120s"),
        (BASIC + "stop: {signal: SIGKILL}", "job.yaml:4: stop.signal: 'SIGKILL' is not one of SIGTERM, SIGINT"),
        (BASIC + "args: []", "job.yaml:4: args: empty | hint: "),
        (BASIC + "network: maybe", "job.yaml:4: network: 'maybe' is neither true nor false nor a size"),
        (BASIC + "min_stake: 5 USDC", "job.yaml:4: min_stake: in USDC, but stake is always in OPENX"),
        (BASIC + "bid: {gpu_hour: 1 USDC}", "job.yaml:4: bid.gpu_hour: in USDC, but the job pays in OPENX"),
        (BASIC.replace("10m", "0s"), "job.yaml:2: time_limit: the time is zero"),
        (BASIC + '"na\\x1bme": 1', "job.yaml:4: 'na\\x1bme': unknown key | hint: did you mean name?"),
    ],
)
def test_each_mistake_has_its_line(text: str, expected: str) -> None:
    lines = problems_of(text)
    assert len(lines) == 1 or text.count("\n") == 0, lines
    assert lines[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{BASIC}shm: 64MiB", "shm: unknown key | hint: write it below resources"),
        (f"{BASIC}stop: {{signal: int}}", "SIGWINCH | hint: did you mean SIGINT?"),
        (f"{BASIC}stop: {{signal: SIGKILL}}", "SIGWINCH | hint: for a kill at once write grace: 0s"),
        (f"{BASIC}stop: {{grace: 5m}}", "'5m' is longer than 120s | hint: write at most 120s"),
        (f"{BASIC}outputs: [a, b]", "outputs: not a map of keys and values | hint: write each as NAME: VALUE"),
        (
            "image: podman:train",
            "'podman:train' is where an image comes from | hint: keep it with `xnode image import podman:train`",
        ),
    ],
)
def test_what_people_mistype_is_answered_with_what_to_write(text: str, expected: str) -> None:
    assert expected in problems_of(text)[0]


def test_a_required_key_is_named_when_missing() -> None:
    assert problems_of("name: x") == [
        f"job.yaml:1: {name}: required key | hint: add a line such as {name}: {JOB_KEYS[name].example}"
        for name in ("image", "time_limit", "budget")
    ]


def test_problems_have_a_limit() -> None:
    assert len(problems_of("\n".join(f"x{number}: 1" for number in range(500)))) == MAX_PROBLEMS


texts = st.text(max_size=200) | st.lists(
    st.sampled_from([*JOB_KEYS, *RESOURCE_KEYS, ": ", "\n", "  ", "- ", "{", "}", "[", "]", "'", '"', "|", "&a", "*a"])
    | st.sampled_from(
        ["5 OPENX", "10m", "oci:x", "512MiB", "~", "!x", "\\ud800", "\\0", "#", "\t", "0.5", "\x85", "?"]
    ),
    max_size=30,
).map("".join)


@given(texts)
@example("\ud800")
@example('a: "\\ud800"')
@example(BASIC + 'name: "\\ud800"')
@example(BASIC + 'command: "\\ud800"')
@example(BASIC + 'env: {"\\ud800": "\\ud800"}')
@example(BASIC + 'inputs: {"\\ud800": x}')
@example("\ufeff" + BASIC)
@example("%YAML 3.0\n---\n" + BASIC)
@example("? ?\n")
@example("9" * 10_000)
@example(BASIC + "resources: {vcpus: " + "9" * 5_000 + "}")
@example("- " * 60_000)
@example('"' + "\\" * 1_001)
def test_no_text_raises_and_every_problem_is_printable_with_at_most_one_hint(text: str) -> None:
    found = validate_jobfile(text, "job.yaml")
    assert isinstance(found, JobFile) or found
    for problem in found if isinstance(found, list) else []:
        sentence, *hints = str(problem).split("\n")
        assert sentence.isprintable() and len(hints) <= 1
        assert all(hint.startswith("hint: ") and hint.isprintable() for hint in hints)


values = st.sampled_from(["1", "yes", "~", "[]", "{}", "[1, {a: 2}]", "{a: 1}", "-1", "1e3", ".inf", "''", "x", "0x10"])


@given(st.dictionaries(st.sampled_from([*JOB_KEYS]), values))
def test_any_value_at_any_key_is_read_or_problems_of(page: dict[str, str]) -> None:
    found = validate_jobfile("\n".join(f"{key}: {value}" for key, value in page.items()), "job.yaml")
    assert isinstance(found, JobFile) or found


# ------------------------------------------------------------------------------------------------------------- example


def test_the_example_is_a_job_file() -> None:
    assert read(make_example()).name == "hello"


def test_the_example_shows_every_key_and_stays_right_with_every_line_switched_on() -> None:
    switched = re.sub(r"^( *)# ( *)([\w.]+:(?: |$))", r"\1\2\3", make_example(), flags=re.MULTILINE)
    once = re.sub(r"^outputs: \./results\n", "", switched, flags=re.MULTILINE)
    job = read(once)
    assert job.bid is not None and len(job.bid) == len(BID_KEYS)
    for key in (*JOB_KEYS, *RESOURCE_KEYS, *BID_KEYS, *GPU_KEYS, *OUTPUT_KEYS, *STOP_KEYS):
        assert re.search(rf"\b{key}:", once), key


def test_every_key_is_described() -> None:
    for keys in (JOB_KEYS, RESOURCE_KEYS, GPU_KEYS, BID_KEYS, INPUT_KEYS, OUTPUT_KEYS, STOP_KEYS):
        for name, key in keys.items():
            assert key.description.endswith(".") and key.form.name, name
            assert key.required != bool(key.default), f"{name}: a default, or required"


def test_every_example_of_the_table_is_read() -> None:
    def shown(keys: dict[str, Key]) -> str:
        return "{" + ", ".join(f"{name}: {key.example}" for name, key in keys.items()) + "}"

    read(shown(JOB_KEYS))
    read(BASIC + f"resources: {shown(RESOURCE_KEYS)}\nbid: {shown(BID_KEYS)}\noutputs: {shown(OUTPUT_KEYS)}\n")
    read(BASIC + f"resources: {{gpus: {shown(GPU_KEYS)}}}\ninputs: [{shown(INPUT_KEYS)}]\n")


@pytest.mark.parametrize("name", ["name", "network", "min_stake", "min_availability"])
def test_a_default_is_what_a_key_left_out_means(name: str) -> None:
    assert read(BASIC + f"{name}: {JOB_KEYS[name].default}") == read(BASIC)


@pytest.mark.parametrize("name", RESOURCE_KEYS)
def test_a_default_of_the_resources_is_what_a_key_left_out_means(name: str) -> None:
    assert read(BASIC + f"resources: {{{name}: {RESOURCE_KEYS[name].default}}}") == read(BASIC)


def test_a_bid_leaves_prices_open_that_it_does_not_name() -> None:
    tariff = bid_of(read(BASIC + "bid: {vcpu_hour: 0.2}"), 18)
    assert tariff is not None
    assert (tariff.vcpu_hour, tariff.gpu_hour) == (2 * 10**17, U128_MAX)
    assert bid_of(read(BASIC), 18) is None
    with pytest.raises(ValueError, match="more decimals"):
        bid_of(read(BASIC + "bid: {vcpu_hour: 0.0000001}"), 6)


# -------------------------------------------------------------------------------------------------------------- schema

GOOD = [
    BASIC,
    BASIC + "name: x\ncommand: ls -l\n",
    BASIC + "command: [a, 1, true]\nenv: {A: 1, B: x, C: true, D: }\n",
    BASIC + "inputs: {a: ./a}\noutputs: out\n",
    BASIC + "inputs: [{path: a, from: ./a}]\noutputs: {to: out, only: '*.csv'}\n",
    BASIC + "resources: {vcpus: 2, memory: 1 GiB, disk: 10GB, gpus: 2}\n",
    BASIC + "resources: {vcpus: '0.25', gpus: {count: 1, model: H200}}\n",
    BASIC + "network: true\n",
    BASIC + "args: [a, 1]\nstop: {signal: SIGQUIT, grace: 1m}\n",
    BASIC + "args: a\nstop: {}\nresources: {shm: half, tmp: 1MiB}\n",
    BASIC + "network: 10GB\n",
    BASIC + "network: 'yes'\n",
    BASIC + "bid: {vcpu_hour: 0.2, egress_gb: '1 OPENX'}\nregions: eu\nmin_stake: 5\n",
    BASIC + "min_availability: 0.99\n",
    BASIC + "min_availability: '1'\n",
    BASIC + "regions: [eu, us]\nasset: OPENX\n",
    BASIC.replace("5 OPENX", "5.25").replace("10m", "1d2h3m4s") + "asset: '0x" + "aB" * 20 + "'\n",
    BASIC.replace("oci:./image", DIGEST),
    BASIC.replace("oci:./image", f"example.org/a/b:c@{DIGEST}"),
]

BAD = [
    "",
    "[]",
    "name: x",
    *(
        "\n".join(line for line in BASIC.splitlines() if not line.startswith(key))
        for key in ("image", "time", "budget")
    ),
    BASIC + "comand: ls\n",
    BASIC + "name: ''\n",
    BASIC + "name: [x]\n",
    BASIC + "name: " + "x" * 65 + "\n",
    BASIC + "command: []\n",
    BASIC + "command: {a: 1}\n",
    BASIC + "command: [[a]]\n",
    BASIC + "env: [A=1]\n",
    BASIC + "env: {1A: 1}\n",
    BASIC + "env: {A: [1]}\n",
    BASIC + "inputs: x\n",
    BASIC + "inputs: [{path: a}]\n",
    BASIC + "inputs: [{path: a, from: b, mode: c}]\n",
    BASIC + "outputs: [x]\n",
    BASIC + "outputs: {only: x}\n",
    BASIC + "resources: 1\n",
    BASIC + "resources: {vcpu: 1}\n",
    BASIC + "resources: {vcpus: -1}\n",
    BASIC + "resources: {vcpus: [1]}\n",
    BASIC + "resources: {memory: 512}\n",
    BASIC + "resources: {memory: 512M}\n",
    BASIC + "resources: {gpus: -1}\n",
    BASIC + "resources: {gpus: 1025}\n",
    BASIC + "resources: {gpus: {model: H200}}\n",
    BASIC + "network: maybe\n",
    BASIC + "args: []\n",
    BASIC + "stop: 10s\n",
    BASIC + "stop: {signal: SIGKILL}\n",
    BASIC + "stop: {signal: 15}\n",
    BASIC + "stop: {grace: 1h}\n",
    BASIC + "stop: {grace: 5}\n",
    BASIC + "resources: {shm: most}\n",
    BASIC + "resources: {tmp: 5}\n",
    BASIC + "network: 5\n",
    BASIC + "bid: 5\n",
    BASIC + "bid: {vcpu: 1}\n",
    BASIC + "bid: {vcpu_hour: -1}\n",
    BASIC + "regions: [eu west]\n",
    BASIC + "regions: {a: 1}\n",
    BASIC + "asset: '0x12'\n",
    BASIC + "min_stake: many\n",
    BASIC + "min_availability: 1.5\n",
    BASIC + "min_availability: 99%\n",
    BASIC.replace("10m", "10"),
    BASIC.replace("10m", "''"),
    BASIC.replace("10m", "1m1h"),
    BASIC.replace("5 OPENX", "-5"),
    BASIC.replace("5 OPENX", "5 0x12"),
    BASIC.replace("oci:./image", "alpine:latest"),
    BASIC.replace("oci:./image", "'oci:'"),
    BASIC.replace("oci:./image", "a@sha256:12"),
]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    """The validator of the shipped schema."""
    shipped = json.loads(SCHEMA_PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(shipped)
    return jsonschema.Draft202012Validator(shipped)


SCHEMA_PATH = Path(xnode.__file__).with_name("jobfile") / "schema.json"


def test_the_shipped_schema_is_the_one_the_table_makes() -> None:
    made = json.dumps(make_schema(), indent=2) + "\n"
    assert SCHEMA_PATH.read_text() == made, "write json.dumps(make_schema(), indent=2) into xnode/jobfile/schema.json"


@pytest.mark.parametrize("text", GOOD)
def test_the_schema_takes_what_the_reader_takes(schema: jsonschema.Draft202012Validator, text: str) -> None:
    read(text)
    assert [error.message for error in schema.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("text", BAD)
def test_the_schema_refuses_what_the_reader_refuses(schema: jsonschema.Draft202012Validator, text: str) -> None:
    problems_of(text)
    assert not schema.is_valid(yaml.safe_load(text))


def test_every_key_of_the_tables_is_in_the_schema() -> None:
    made = json.dumps(make_schema())
    for keys in (JOB_KEYS, RESOURCE_KEYS, GPU_KEYS, BID_KEYS, INPUT_KEYS, OUTPUT_KEYS, STOP_KEYS):
        assert all(f'"{key}"' in made for key in keys)
