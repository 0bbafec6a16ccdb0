"""An hour at a share of capacity with random faults: is the books' end right, and is memory level?

scene (configuration, carriers, faults) -> traffic (the senders) -> auditor (what must hold, message by message, while it runs)
-> levels (memory over time) -> `python -m benchmarks.soak`.
"""
