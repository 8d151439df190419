"""Deployment: the contracts of one chain: planned, deployed, named in a manifest, checked."""
