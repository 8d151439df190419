"""Config: a node's settings, from its file and the environment."""
