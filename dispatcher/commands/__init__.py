"""The commands of `dispatcher`, one module per family; each has `register(commands)`."""
