"""`dispatcher demo`: the whole service at work on a thousand sends, with simulated carriers, and the books checked after.

rows (what is sent) -> world (processes) -> doors (sending) -> watch (waiting, a carrier killed and revived) -> proof (the
checks) -> oddities, report (what a person reads). It wires like cli.py does and decides nothing: everything it shows is
read from where any operator would read it.
"""
