"""The hands: the provider agent, its gateway, and the plugins that hand over real machines.

This package must not import `cli` or `web`, and only `chain` may be asked about the ledger.
"""
