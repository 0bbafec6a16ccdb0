"""`dispatcher demo`: the whole service at work on a thousand sends, with simulated carriers, and the books checked after."""
