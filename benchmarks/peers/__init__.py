"""Kannel and Jasmin at the same job as the dispatcher, against the same carrier: `python -m benchmarks.peers`.

job (requests, callbacks, what was counted) <- kannel, jasmin, ours (how each is had, started, asked) <- __main__ (the table).
"""
