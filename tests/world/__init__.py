"""The simulated world: the real engine among invented carriers, under a clock that jumps. `python -m tests.world --help`."""
