"""Podman: the engine that runs workloads as podman containers."""
