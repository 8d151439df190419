"""Lease: what any engine does for one lease on this host, however its container is run: checks, inputs, outputs."""
