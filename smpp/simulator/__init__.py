"""An SMSC with a temper: for the demo, the tests and the benchmarks. It refuses to know who sends to it."""
