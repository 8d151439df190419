"""Contracts: one thin module per contract: its calls, views and events as typed values."""
