"""Release: what was shipped, and whether what is installed is that."""
