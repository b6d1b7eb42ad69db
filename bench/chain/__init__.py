"""The members' own chain under load: `speed` and `soak`, on the network of `stage`."""
