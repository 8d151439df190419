"""Monitor: health, readiness and metrics over HTTP on loopback."""
