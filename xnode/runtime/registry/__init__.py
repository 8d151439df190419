"""Registry: images taken from registries by this process itself, so that what it connects to is what it has checked."""
