"""`dispatcher load`: sends a planned load, follows what becomes of every message, and says what it cost.

plan (what and when) -> door (a process of its own that hands it in) -> follow (events until all is final) -> processes (CPU)
-> report, plot. `own` starts a whole dispatcher with a carrier that costs nothing, so that one command measures all.
"""
