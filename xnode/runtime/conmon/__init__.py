"""Conmon: what the monitor of a container leaves in its lease folder. Podman starts it; another engine could too."""
