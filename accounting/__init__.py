"""Money: exact amounts, tariffs, the ledger's facts and rules, and the audit that replays them.

This package refuses to know what an SMS, a carrier's protocol or a store is: a charge is keyed by an opaque id and a
segment number. It needs the standard library and msgspec only.
"""
