"""Counters: what the net has done and been asked, for metrics; plain numbers that only grow, but for `connections`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class NetCounters:
    """connections: open now; refused: requests turned away as too many; bad_frames: streams dropped for nonsense;
    handler_errors, handler_timeouts: our handlers that raised, or took too long; restarts: of libp2p;
    kept_hits: calls that reused a stream; records_refused: others' answers that were no valid record or list;
    silent_sockets: that said nothing until they were dropped; turned_away: sockets dropped for others before they had proved
    who they are; evicted: connections dropped for others; streams_refused: streams of strangers beyond their share."""

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
    silent_sockets: int = 0
    turned_away: int = 0
    evicted: int = 0
    streams_refused: int = 0
