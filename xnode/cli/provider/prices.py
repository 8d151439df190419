"""Prices: what a provider can ask for, and what it asks for at first."""

from __future__ import annotations

PRICES = ("vcpu_hour", "memory_gib_hour", "disk_gib_hour", "gpu_hour", "ingress_gb", "egress_gb")

DEFAULT_PRICES = {
    "vcpu_hour": "0.02",
    "memory_gib_hour": "0.005",
    "disk_gib_hour": "0.0001",
    "gpu_hour": "2",
    "ingress_gb": "0",
    "egress_gb": "0.02",
}
"""Somewhere to start: `provider price set` changes them while it runs."""

CREDIT_PRICES = {
    "tCPU": {**dict.fromkeys(PRICES, "0"), "vcpu_hour": "1"},
    "tGPU": {**dict.fromkeys(PRICES, "0"), "gpu_hour": "1"},
}
"""In credits a reference unit's hour costs one, by what a credit is."""
