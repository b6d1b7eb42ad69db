"""A permissioned chain of the members' own: one description, every file made from it, nodes that run by them.

This package knows engines, keys of nodes and processes. Of the exchange it knows the list of nodes in
`Members` and nothing else: leases and money are for the rest of `chain`.
"""
