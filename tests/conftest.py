"""Shared by all tests: nothing but markers' meaning lives here."""
