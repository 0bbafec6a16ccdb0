"""The dispatcher: sends in, segments out over SMPP binds, nothing lost, nothing charged twice."""

__version__ = "0.1.0"
