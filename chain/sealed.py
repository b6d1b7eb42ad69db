"""Sealed boxes: connection data that only the buyer's organisation can open.

An X25519 key pair per organisation. The public half stands in `Members`; the private half lies in a file,
wrapped with a passphrase (argon2id, XSalsa20-Poly1305). Only hashes of sealed data go on chain. This module
must not speak to a chain, and the private half never appears in a message.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak
from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.exceptions import TypeError as NaclTypeError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.utils import random

from chain.wallet import PassphraseSource, write_private
from market.errors import Bug, InvalidInput, Refused

__all__ = ["BoxKey", "seal", "sealed_hash"]

_KIND = "ocx-box-key"
_KDF = "argon2id"
_MOST_MEMORY = 1 << 30
_MOST_ROUNDS = 16


class BoxKey:
    """An X25519 key pair that opens what was sealed to its public half; it does not show itself."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != 32:
            raise InvalidInput("that is not an encryption key", hint="It has 32 bytes.")
        self._private = PrivateKey(private)
        self.public: bytes = bytes(self._private.public_key)

    def __repr__(self) -> str:
        """The public half alone."""
        return f"BoxKey({self.public.hex()})"

    def __reduce__(self) -> Any:
        """Refuse to be pickled: the key would go with it."""
        raise Bug("an encryption key must not be copied to another process")

    @classmethod
    def generate(cls) -> BoxKey:
        """A fresh key pair."""
        return cls(bytes(PrivateKey.generate()))

    def open(self, sealed: bytes) -> bytes:
        """The content of a sealed box; Refused if it was sealed to another key or changed on the way."""
        try:
            return bytes(SealedBox(self._private).decrypt(sealed))
        except (CryptoError, ValueError, NaclTypeError):
            raise Refused(
                "the sealed data cannot be opened with this encryption key",
                hint="They were sealed to another key, or were changed on the way.",
                public_key=self.public,
            ) from None

    def export(self, passphrase: str, *, light: bool = False) -> str:
        """The key wrapped with a passphrase, as JSON text for a file or another device.

        `light` makes guessing the passphrase much cheaper (8 MiB instead of 256 MiB each): for demos and
        tests only.
        """
        if not passphrase:
            raise InvalidInput("the passphrase is empty", hint="Choose one; it is all that protects the key.")
        salt = random(pwhash.argon2id.SALTBYTES)
        rounds = pwhash.argon2id.OPSLIMIT_MIN if light else pwhash.argon2id.OPSLIMIT_MODERATE
        memory = 8 << 20 if light else pwhash.argon2id.MEMLIMIT_MODERATE
        box = SecretBox(_stretch(passphrase, salt, rounds, memory)).encrypt(bytes(self._private))
        content = {
            "kind": _KIND,
            "version": 1,
            "public": self.public.hex(),
            "kdf": {"name": _KDF, "salt": _text(salt), "rounds": rounds, "memory": memory},
            "box": _text(bytes(box)),
        }
        return json.dumps(content, sort_keys=True) + "\n"

    @classmethod
    def from_export(cls, text: str, source: PassphraseSource, what: str = "the exported key") -> BoxKey:
        """The key behind `export`'s text; Refused if the passphrase is wrong."""
        try:
            content = json.loads(text)
            kdf = content["kdf"]
            if (content["kind"], content["version"], kdf["name"]) != (_KIND, 1, _KDF):
                raise ValueError("unknown kind, version or key derivation")
            salt, rounds, memory = _kdf_of(kdf)
            wrapped, public = (
                base64.b64decode(content["box"], validate=True),
                bytes.fromhex(content["public"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{what} is not an encryption key file: {error}") from error
        try:
            key = cls(bytes(SecretBox(_stretch(source(), salt, rounds, memory)).decrypt(wrapped)))
        except (CryptoError, NaclTypeError, ValueError):
            raise Refused(f"wrong passphrase for {what}", hint="Try again.") from None
        if key.public != public:
            raise InvalidInput(f"{what} is damaged: its two halves do not belong together")
        return key

    def save(self, path: Path | str, passphrase: str, *, light: bool = False) -> None:
        """Write the wrapped key to a new file of mode 0600; InvalidInput if the file exists."""
        write_private(path, self.export(passphrase, light=light))

    @classmethod
    def load(cls, path: Path | str, source: PassphraseSource) -> BoxKey:
        """The key of a file written by `save`; Refused if the passphrase is wrong."""
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"encryption key file {path} cannot be read: {error}") from error
        return cls.from_export(text, source, f"encryption key file {path}")


def seal(public_key: bytes, data: bytes) -> bytes:
    """Encrypt `data` so that only the holder of the private half of `public_key` (32 bytes) can read it."""
    if len(public_key) != 32 or not any(public_key):
        raise InvalidInput(
            "the receiver has no valid encryption key", hint="It must register one first, of 32 bytes."
        )
    try:
        return bytes(SealedBox(PublicKey(public_key)).encrypt(data))
    except CryptoError as error:
        raise InvalidInput("the receiver's encryption key is not a usable X25519 key") from error


def sealed_hash(sealed: bytes) -> bytes:
    """keccak256 of sealed data; the chain holds it as a part of `chain.lease_endpoints.Told`."""
    return keccak(sealed)


def _kdf_of(kdf: Mapping[str, Any]) -> tuple[bytes, int, int]:
    """Salt, rounds and memory in bytes; bounded, so that a hostile file cannot exhaust the machine."""
    salt, rounds, memory = (
        base64.b64decode(kdf["salt"], validate=True),
        int(kdf["rounds"]),
        int(kdf["memory"]),
    )
    if len(salt) != pwhash.argon2id.SALTBYTES or not 0 < rounds <= _MOST_ROUNDS:
        raise ValueError("salt or rounds out of range")
    if not pwhash.argon2id.MEMLIMIT_MIN <= memory <= _MOST_MEMORY:
        raise ValueError("memory out of range")
    return salt, rounds, memory


def _stretch(passphrase: str, salt: bytes, rounds: int, memory: int) -> bytes:
    return bytes(pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, rounds, memory))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
