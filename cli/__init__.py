"""The command line: `ocx ...`, a face of the exchange. Nothing imports this package."""
