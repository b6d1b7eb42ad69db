"""The door to the ledger: networks, compiling, deploying, wallets, sending, ordered events.

Only this package speaks JSON-RPC. It may import `market` and nothing above itself.
"""
