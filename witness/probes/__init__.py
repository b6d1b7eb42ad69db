"""One module per kind of probe: what one knock at a stranger's door finds, and nothing of what it means.

A probe is an async function with a deadline in seconds. It returns a `Seen`, whatever the other side does;
the only exception that leaves it is a cancellation. What it reads is bounded, so that no server can hang or
flood it. `witness/attribution.py` judges. No module here may read or write the ledger, a file or a clock of
its own.
"""
