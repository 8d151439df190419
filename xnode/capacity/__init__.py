"""Capacity: what a challenge computes, on CPUs and GPUs, and how its answers are checked. Strangers to net, chain and store."""
