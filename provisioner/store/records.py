"""The rows of an agent's database: their tables, and what they are in Python. Nothing here does anything."""

from __future__ import annotations

from dataclasses import dataclass

from chain.contracts.book import Bid
from market.specs import Spec
from market.windows import SlotWindow

__all__ = [
    "LATER_COLUMNS",
    "SCHEMA",
    "Blob",
    "MachineRecord",
    "OfferRecord",
    "Setup",
    "StoredBid",
    "TenderRecord",
]

SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
    lease INTEGER PRIMARY KEY, buyer INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    resources TEXT NOT NULL, opened_at INTEGER NOT NULL, block INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS lease_open ON lease (lease) WHERE done = 0;
CREATE TABLE IF NOT EXISTS offer (
    offer INTEGER PRIMARY KEY, class BLOB NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    floor_rate INTEGER NOT NULL, resources TEXT NOT NULL, block INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS request (
    request INTEGER PRIMARY KEY, org INTEGER NOT NULL, class BLOB NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, count INTEGER NOT NULL, ceiling_rate INTEGER NOT NULL, spec TEXT NOT NULL,
    block INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tender (
    request INTEGER PRIMARY KEY, commit_end INTEGER NOT NULL, reveal_end INTEGER NOT NULL,
    block INTEGER NOT NULL, over INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tender_open ON tender (request) WHERE over = 0;
CREATE TABLE IF NOT EXISTS bid (
    request INTEGER PRIMARY KEY, offer INTEGER NOT NULL, rate INTEGER NOT NULL, resources TEXT NOT NULL,
    salt BLOB NOT NULL, commitment BLOB NOT NULL, at INTEGER NOT NULL, over INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS machine (
    hardware_key BLOB PRIMARY KEY, plugin TEXT NOT NULL, local_id TEXT NOT NULL, name TEXT NOT NULL,
    document_hash BLOB NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS purchase (
    key TEXT PRIMARY KEY, lease INTEGER NOT NULL, plugin TEXT NOT NULL, content TEXT NOT NULL,
    at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS purchase_lease ON purchase (lease);
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, step TEXT NOT NULL, started REAL NOT NULL, finished REAL,
    result TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS journal_key ON journal (key);
CREATE TABLE IF NOT EXISTS setup (
    lease INTEGER PRIMARY KEY, keys TEXT NOT NULL, hostname TEXT NOT NULL, properties TEXT NOT NULL,
    private_key TEXT, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sealed (
    lease INTEGER NOT NULL, delivery BLOB NOT NULL, plain_hash BLOB NOT NULL, bits INTEGER NOT NULL,
    blob BLOB NOT NULL, endpoints BLOB NOT NULL DEFAULT X'5B5D', connection_hash BLOB NOT NULL,
    host_key BLOB NOT NULL, spec_hash BLOB NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (lease, delivery));
CREATE TABLE IF NOT EXISTS evidence (
    key TEXT PRIMARY KEY, lease INTEGER NOT NULL, resource INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ask (
    id INTEGER PRIMARY KEY, lease INTEGER NOT NULL, kind TEXT NOT NULL, resource INTEGER NOT NULL,
    action TEXT NOT NULL, account TEXT NOT NULL, at REAL NOT NULL, wanted TEXT NOT NULL, contract TEXT,
    nonce INTEGER, time INTEGER, signature BLOB, state TEXT NOT NULL DEFAULT 'pending', detail TEXT,
    ended REAL, done TEXT NOT NULL DEFAULT '[]', holder TEXT, held_until REAL NOT NULL DEFAULT 0,
    sealed BLOB);
CREATE INDEX IF NOT EXISTS ask_lease ON ask (lease, kind, resource);
CREATE UNIQUE INDEX IF NOT EXISTS ask_pending ON ask (lease, kind, resource) WHERE state = 'pending';
CREATE UNIQUE INDEX IF NOT EXISTS ask_nonce ON ask (lease, nonce) WHERE nonce IS NOT NULL;
CREATE TABLE IF NOT EXISTS try_again (id INTEGER PRIMARY KEY, what TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS metric (
    lease INTEGER PRIMARY KEY, award_to_provision_ms INTEGER NOT NULL, due_to_provision_ms INTEGER NOT NULL);
"""
LATER_COLUMNS = (
    ("sealed", "endpoints", "BLOB NOT NULL DEFAULT X'5B5D'"),
    ("bid", "start", "INTEGER NOT NULL DEFAULT 0"),
    ("request", "slots", "INTEGER NOT NULL DEFAULT 0"),
)
"""Table, column and kind of what SCHEMA gained after files were made by it.

The first default stands for `[]`; a request of 0 slots asks for its whole window.
"""


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """Which plugin has a piece of hardware, under which id, measured how."""

    hardware_key: bytes
    plugin: str
    local_id: str
    name: str
    document_hash: bytes


@dataclass(frozen=True, slots=True)
class OfferRecord:
    """One of our own offers, as published."""

    offer: int
    class_: bytes
    window: SlotWindow
    floor_rate: int
    resources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TenderRecord:
    """A request that was put to tender; times are unix seconds, the ceiling rate is per resource and hour.

    A lease takes `slots` of the window.
    """

    request: int
    org: int
    class_: bytes
    window: SlotWindow
    count: int
    ceiling_rate: int
    spec: Spec
    commit_end: int
    reveal_end: int
    slots: int

    def piece(self, start: int) -> SlotWindow:
        """The window of a lease that begins in a slot."""
        return SlotWindow(start, start + self.slots)


@dataclass(frozen=True, slots=True)
class StoredBid:
    """A sealed bid and the salt that opens it."""

    request: int
    bid: Bid
    salt: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Setup:
    """What a buyer wants its machines to know; kept here and never on the chain (rule P3).

    `private_key` is set when no buyer's key came in time and the agent made one; it leaves only sealed.
    """

    ssh_public_keys: tuple[str, ...]
    hostname: str = ""
    properties: dict[str, str] | None = None
    private_key: str | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """Sealed connection data of one delivery, with the hashes the chain was told.

    `endpoints`: what the committee is told of the machines, as `chain.lease_endpoints.canonical_bytes`.
    """

    bits: int
    sealed: bytes
    endpoints: bytes
    connection_hash: bytes
    host_key: bytes
    spec_hash: bytes
