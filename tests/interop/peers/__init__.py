"""Whole runs against SMPP servers and clients that were not written here: `python -m tests.interop.peers`."""
