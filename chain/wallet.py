"""Keys that sign: an encrypted keystore file (version 3) and the wallet it opens into.

The private key leaves this module only inside a signature. Passphrases come from a prompt, a file nobody
else may read, or an environment variable; they are never taken from the command line and never shown.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from eth_utils.crypto import keccak

from chain.abi import checksum
from chain.imports import signing_library
from chain.nodes.extra import Rlp, rlp
from market.errors import Bug, InvalidInput, Permanent, Refused

__all__ = [
    "PassphraseSource",
    "SignedTransaction",
    "Wallet",
    "address_of",
    "create",
    "from_environment",
    "from_file",
    "from_prompt",
    "import_key",
    "load",
    "passphrase_source",
    "write_private",
]

PassphraseSource = Callable[[], str]
"""Gives the passphrase when it is needed, and not before."""

DEFAULT_VARIABLE = "OCX_PASSPHRASE"

_STRONG = 1 << 18
"""scrypt's N: 256 MiB and about a second per attempt."""
_LIGHT = 1 << 12
"""scrypt's N for demos and tests: 4 MiB and some milliseconds. Guessing is as much cheaper for a thief."""


@dataclass(frozen=True)
class SignedTransaction:
    """What goes to the node (`raw`) and the hash by which it will be known."""

    raw: bytes
    hash: bytes


class Wallet:
    """A private key in memory that can sign, and does not show itself."""

    __slots__ = ("_account", "_key", "address")

    def __init__(self, private_key: bytes) -> None:
        with signing_library():
            from eth_account import Account  # half a second: only for those who sign
            from eth_keys.datatypes import PrivateKey

        try:
            self._account = Account.from_key(private_key)
            self._key = PrivateKey(bytes(self._account.key))
        except (AssertionError, TypeError, ValueError) as error:
            raise InvalidInput("that is not a private key", hint="It has 32 bytes.") from error
        self.address: str = str(self._account.address)

    def __repr__(self) -> str:
        """The address alone."""
        return f"Wallet({self.address})"

    def __reduce__(self) -> Any:
        """Refuse to be pickled: the key would go with it."""
        raise Bug("a wallet must not be copied to another process")

    def sign_transaction(self, transaction: Mapping[str, Any]) -> SignedTransaction:
        """Sign a legacy or fee-market transaction (chainId, nonce, gas, prices, to, value, data).

        `eth_account` would make the same bytes in four times the time, checking what comes from `chain.fees`.
        """
        kind, fields = _fields(transaction)
        chain_id = int(transaction["chainId"])
        unsigned = fields if kind else [*fields, _number(chain_id), b"", b""]
        signature = self._key.sign_msg_hash(keccak(kind + rlp(unsigned)))
        parity = signature.v if kind else signature.v + 35 + 2 * chain_id
        raw = kind + rlp([*fields, _number(parity), _number(signature.r), _number(signature.s)])
        return SignedTransaction(raw, keccak(raw))

    def sign_message(self, message: bytes) -> bytes:
        """An EIP-191 signature of 65 bytes (r, s, v); what it is for must be in the message."""
        with signing_library():
            from eth_account.messages import encode_defunct

        return bytes(self._account.sign_message(encode_defunct(primitive=message)).signature)

    def sign_typed_data(
        self, domain: Mapping[str, Any], types: Mapping[str, Any], message: Mapping[str, Any]
    ) -> bytes:
        """An EIP-712 signature of 65 bytes (r, s, v); `types` holds the message's own type."""
        signed = self._account.sign_typed_data(dict(domain), dict(types), dict(message))
        return bytes(signed.signature)


def _fields(transaction: Mapping[str, Any]) -> tuple[bytes, list[Rlp]]:
    """The type's byte (none: legacy) and what is signed, in the order of EIP-155 and EIP-1559."""
    fees = (
        [transaction["gasPrice"]]
        if "gasPrice" in transaction
        else [transaction["maxPriorityFeePerGas"], transaction["maxFeePerGas"]]
    )
    to = str(transaction.get("to") or "").removeprefix("0x")
    fields: list[Rlp] = [
        *(_number(value) for value in (transaction["nonce"], *fees, transaction["gas"])),
        bytes.fromhex(to),
        _number(transaction["value"]),
        bytes(transaction["data"]),
    ]
    if "gasPrice" in transaction:
        return b"", fields
    return b"\x02", [_number(transaction["chainId"]), *fields, []]


def _number(value: int) -> bytes:
    """Without leading zeros, as RLP wants numbers."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def create(path: Path | str, passphrase: str, *, light: bool = False) -> Wallet:
    """Make a fresh key and its keystore file (mode 0600); InvalidInput if the file exists.

    `light` makes guessing the passphrase about 64 times cheaper: for demos and tests only.
    """
    return import_key(path, secrets.token_bytes(32), passphrase, light=light)


def import_key(path: Path | str, private_key: bytes, passphrase: str, *, light: bool = False) -> Wallet:
    """Put an existing private key (32 bytes) into a new keystore file; InvalidInput if the file exists."""
    wallet = Wallet(private_key)
    if not passphrase:
        raise InvalidInput("the passphrase is empty", hint="Choose one; it is all that protects the key.")
    with signing_library():
        from eth_keyfile.keyfile import create_keyfile_json

    rounds = _LIGHT if light else _STRONG
    content = create_keyfile_json(private_key, passphrase.encode(), kdf="scrypt", iterations=rounds)
    write_private(path, json.dumps(content, sort_keys=True) + "\n")
    return wallet


def load(path: Path | str, source: PassphraseSource) -> Wallet:
    """Open a keystore file; Refused if the passphrase is wrong."""
    with signing_library():
        from eth_keyfile.keyfile import decode_keyfile_json

    content = _read_keystore(Path(path))
    try:
        key = decode_keyfile_json(content, source().encode())
    except ValueError as error:
        if "MAC" not in str(error):
            raise InvalidInput(f"keystore {path} is damaged: {error}") from error
        raise Refused(f"wrong passphrase for keystore {path}", hint="Try again.") from None
    except (KeyError, TypeError, NotImplementedError) as error:
        raise InvalidInput(f"{path} is not a keystore of version 3") from error
    return Wallet(bytes(key))


def address_of(path: Path | str) -> str:
    """The address a keystore file says it is for, without opening it."""
    content = _read_keystore(Path(path))
    try:
        return checksum("0x" + str(content["address"]).removeprefix("0x"))
    except (KeyError, InvalidInput) as error:
        raise InvalidInput(f"keystore {path} names no address") from error


def from_prompt(text: str = "Passphrase: ", *, confirm: bool = False) -> PassphraseSource:
    """Ask at the terminal, twice if `confirm`; the typed text is not echoed."""

    def ask() -> str:
        try:
            first = getpass.getpass(text)
            if confirm and getpass.getpass("Once more: ") != first:
                raise InvalidInput("the two passphrases differ", hint="Try again.")
        except (EOFError, OSError) as error:
            raise InvalidInput(
                "there is no terminal to ask for the passphrase",
                hint=f"Give a passphrase file or set {DEFAULT_VARIABLE}.",
            ) from error
        return first

    return ask


def from_file(path: Path | str) -> PassphraseSource:
    """Read the first line of a file that only its owner can read; others are refused."""

    def read() -> str:
        try:
            with Path(path).open(encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                if mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise Permanent(
                        f"passphrase file {path} is open to others (mode {stat.S_IMODE(mode):04o})",
                        hint=f"Run: chmod 600 {path}",
                    )
                return file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"passphrase file {path} cannot be read: {error}") from error

    return read


def from_environment(variable: str = DEFAULT_VARIABLE) -> PassphraseSource:
    """Take it from an environment variable."""

    def read() -> str:
        value = os.environ.get(variable)
        if not value:
            raise InvalidInput(f"the environment variable {variable} is not set")
        return value

    return read


def passphrase_source(file: Path | str | None = None, *, confirm: bool = False) -> PassphraseSource:
    """What a command should use: the file if given, else OCX_PASSPHRASE if set, else the prompt."""
    if file is not None:
        return from_file(file)
    if os.environ.get(DEFAULT_VARIABLE):
        return from_environment()
    return from_prompt(confirm=confirm)


def write_private(path: Path | str, text: str, *, replace: bool = False) -> None:
    """Write a file of mode 0600 so that it is there whole or not at all.

    An existing file is left alone (InvalidInput) unless `replace`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise InvalidInput(f"{path} exists already", hint="Choose another name or move it away.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no keystore {path}", hint="Create one: ocx wallet create") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"keystore {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} is not a keystore of version 3")
    return cast(dict[str, Any], content)
