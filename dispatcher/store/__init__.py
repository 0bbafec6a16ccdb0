"""The store behind the engine and the doors: `redis.py` on a real server, `memory.py` without one, one conformance suite.

Themes, each on top of the one before: accounts, admission (S1), groups (S2), leases (S9), correlations, hot (S3-S5), rest
(S6-S8), streams, sweeps. Below them `lines.py` (what applies once), `transport.py` and the two connections.
"""
