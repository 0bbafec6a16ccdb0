"""Every decoder of bytes that carriers send, against bytes that no carrier should send.

`python -m tests.fuzz` runs them under atheris, guided by coverage, until each had its executions; tests/fuzz/test_fuzz.py runs
each for a moment with a mutator of our own. What a run finds is written down in found.toml, and stays there.
"""
