"""The pure Python of `market` and the deployed Solidity, compared on random histories."""
