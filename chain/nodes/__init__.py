"""A permissioned chain of the members' own: one description, every file made from it, nodes that run by them.

This package knows engines, keys of nodes and processes. It must not know the exchange: contracts, members and
leases are for the rest of `chain`.
"""
