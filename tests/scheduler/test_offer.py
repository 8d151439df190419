"""What a host says of itself stays within what an offer may say."""

from __future__ import annotations

from metering.codec import decode_strict, encode
from scheduler.offer import MAX_GPUS, Gpu, HardwareProfile, fit_profile
from tests.make.values import make_profile


def test_a_host_that_says_too_much_of_itself_is_cut_to_what_others_read() -> None:
    gpu = Gpu("v" * 1_000, "m" * 1_000, 1, "d" * 1_000, "u" * 1_000)
    loud = make_profile(cpu_model="c" * 1_000, architecture="a" * 1_000, kernel="k" * 1_000, gpus=(gpu,) * 1_000)
    profile = fit_profile(loud)
    assert decode_strict(encode(profile), HardwareProfile) == profile
    assert len(profile.gpus) == MAX_GPUS and profile.gpus[0].model == "m" * 61 + "..."


def test_an_ordinary_profile_stays_as_it_is() -> None:
    profile = make_profile(gpus=(Gpu("nvidia", "NVIDIA H200", 150 << 30, "550.54", "GPU-1"),))
    assert fit_profile(profile) == profile
