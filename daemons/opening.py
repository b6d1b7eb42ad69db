"""Opens what a configuration names: the network, the key, the exchange seen through both."""

from __future__ import annotations

from chain import connection as connection_file
from chain.connection import ConnectionFile
from chain.exchange import Exchange
from chain.wallet import Wallet, from_file
from chain.wallet import load as load_wallet
from daemons.configuration import Program

__all__ = ["network_of", "open_exchange", "open_wallet"]


def network_of(settings: Program) -> ConnectionFile:
    """What the connection file says."""
    return connection_file.load(settings.connection)


def open_wallet(settings: Program) -> Wallet:
    """The program's key; its passphrase is read now from wherever the settings say it is."""
    file = settings.wallet.passphrase_file
    source = from_file(file) if file else settings.wallet.passphrase_source.read
    return load_wallet(settings.wallet.keystore, source)


def open_exchange(settings: Program, wallet: Wallet) -> Exchange:
    """The exchange with a sender whose journal lies in the state folder."""
    journal = settings.state_dir / "sender"
    return Exchange(network_of(settings), wallet, journal, generation=settings.generation)
