"""One thin wrapper per contract: views are read at once, acts are `Call`s that somebody else sends.

Methods carry the Solidity function's name in snake case; what they mean stands in `contracts/interfaces/`.
Nothing here decides, caches or sends.
"""
