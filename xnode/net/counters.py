"""Counters: what the net has done and been asked, for metrics; plain numbers that only grow, but for `connections`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class NetCounters:
    """connections: open now; refused: requests turned away as too many; bad_frames: streams dropped for nonsense;
    handler_errors, handler_timeouts: our handlers that raised, or took too long; restarts: of libp2p;
    kept_hits: calls that reused a stream; records_refused: others' answers that were no valid record or list."""

    connections: int = 0
    calls_out: int = 0
    calls_out_failed: int = 0
    kept_hits: int = 0
    calls_in: int = 0
    streams_in: int = 0
    refused: int = 0
    unknown_methods: int = 0
    bad_frames: int = 0
    handler_errors: int = 0
    handler_timeouts: int = 0
    restarts: int = 0
    records_refused: int = 0
