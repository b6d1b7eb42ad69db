"""Proof of who asks: a challenge signed by a wallet, and the short-lived token it buys.

A gateway gives out a challenge, the caller's wallet signs it (EIP-712, bound to the chain, the Directory and
the gateway's URL), and gets a token for the minutes that follow. Nothing here is kept on disk: after a
restart of the gateway its callers sign again. It must not speak to a chain; whether the account may have
what it asks for is the gateway's question.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chain.abi import checksum
from chain.imports import signing_library
from chain.wallet import Wallet
from market.errors import InvalidInput, Refused

__all__ = ["Challenge", "Gatekeeper", "Tokens", "make", "sign", "verify"]

_NAME = "OCX gateway"
_TYPES = {
    "Challenge": [
        {"name": "account", "type": "address"},
        {"name": "audience", "type": "string"},
        {"name": "nonce", "type": "bytes32"},
        {"name": "expires", "type": "uint64"},
    ]
}


@dataclass(frozen=True)
class Challenge:
    """What is signed: who asks (`account`), whom (`audience`, the gateway's URL), once (`nonce`, 32 bytes),
    until when (`expires`, unix seconds)."""

    account: str
    audience: str
    nonce: bytes
    expires: int

    def to_json(self) -> dict[str, Any]:
        """For the wire; the nonce in hexadecimal."""
        return {
            "account": self.account,
            "audience": self.audience,
            "nonce": "0x" + self.nonce.hex(),
            "expires": self.expires,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Challenge:
        """From the wire; InvalidInput if it is malformed."""
        try:
            nonce = bytes.fromhex(str(raw["nonce"]).removeprefix("0x"))
            found = cls(checksum(str(raw["account"])), str(raw["audience"]), nonce, int(raw["expires"]))
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise InvalidInput("that is not a challenge of the gateway") from error
        if len(nonce) != 32 or not 0 <= found.expires < 1 << 64:
            raise InvalidInput("that is not a challenge of the gateway")
        return found


def make(account: str, audience: str, now: int, ttl: int = 60) -> Challenge:
    """A fresh challenge for `account`, good for `ttl` seconds from `now`."""
    return Challenge(checksum(account), audience, secrets.token_bytes(32), now + ttl)


def sign(wallet: Wallet, challenge: Challenge, chain_id: int, directory: str, audience: str) -> bytes:
    """The wallet's signature of 65 bytes.

    `audience` is the gateway the caller means to speak to: a challenge for another one is refused, since
    whoever passed it on could use the signature there.
    """
    if challenge.account != wallet.address or challenge.audience != audience:
        raise Refused(
            f"the challenge is for {challenge.account} at {challenge.audience}, not for us at {audience}",
            hint="Do not trust this gateway; check its URL in Members.",
        )
    message = {
        "account": challenge.account,
        "audience": challenge.audience,
        "nonce": challenge.nonce,
        "expires": challenge.expires,
    }
    return wallet.sign_typed_data(_domain(chain_id, directory), _TYPES, message)


def verify(
    challenge: Challenge, signature: bytes, chain_id: int, directory: str, audience: str, now: int
) -> str:
    """The account that signed the challenge; Refused if it is for another gateway, expired or not theirs.

    At the second `expires` it is too late.
    """
    if challenge.audience != audience:
        raise Refused(f"the challenge is for {challenge.audience}, not for this gateway", audience=audience)
    if now >= challenge.expires:
        raise Refused("the challenge has expired", hint="Ask for a new one.", expires=challenge.expires)
    if _signer(challenge, signature, chain_id, directory) != challenge.account:
        raise Refused(
            f"the challenge is not signed by {challenge.account}",
            hint="Sign with that account's wallet, for this network.",
        )
    return challenge.account


class Tokens:
    """Mints and checks short-lived tokens with a key that lives in memory alone; `ttl` in seconds."""

    def __init__(self, ttl: int = 300, key: bytes | None = None) -> None:
        self.ttl = ttl
        self._key = key or secrets.token_bytes(32)

    def mint(self, account: str, now: int, scope: str = "") -> str:
        """A token that says `account` may do `scope` until `now + ttl`."""
        claims = {"account": checksum(account), "expires": now + self.ttl, "scope": scope}
        body = _encode(json.dumps(claims, sort_keys=True).encode())
        return f"{body}.{_encode(self._mac(body))}"

    def verify(self, token: str, now: int, scope: str = "") -> str:
        """The account a token was minted for; Refused if it is forged, expired or for another scope."""
        body, _, mac = token.partition(".")
        if not hmac.compare_digest(_encode(self._mac(body)).encode(), mac.encode("utf-8", "replace")):
            raise _bad_token("is not one of this gateway")
        claims = json.loads(_decode(body))
        if now >= claims["expires"]:
            raise _bad_token("has expired")
        if claims["scope"] != scope:
            raise _bad_token("is for something else")
        return str(claims["account"])

    def _mac(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).digest()


class Gatekeeper:
    """The gateway's side of the whole exchange: gives out challenges, each good for one token.

    Thread-safe. A challenge costs no memory until it comes back signed, so asking for many harms nobody: its
    nonce is half chance and half a seal by which the gateway knows it as its own.
    """

    def __init__(
        self, chain_id: int, directory: str, audience: str, *, ttl: int = 60, tokens: Tokens | None = None
    ) -> None:
        self.tokens = tokens or Tokens()
        self._network = (chain_id, directory)
        self._audience = audience
        self._ttl = ttl
        self._key = secrets.token_bytes(32)
        self._used: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def challenge(self, account: str, now: int) -> Challenge:
        """A fresh challenge for `account`."""
        bare = make(account, self._audience, now, self._ttl)
        return replace(bare, nonce=self._sealed_nonce(bare))

    def redeem(self, challenge: Challenge, signature: bytes, now: int, scope: str = "") -> str:
        """A token for a signed challenge of ours, once; Refused as `verify` does, or if it is used up."""
        if not hmac.compare_digest(self._sealed_nonce(challenge), challenge.nonce):
            raise Refused("the challenge is not one of this gateway", hint="Ask for a new one.")
        account = verify(challenge, signature, *self._network, self._audience, now)
        with self._lock:
            self._used = {nonce: expires for nonce, expires in self._used.items() if now < expires}
            if challenge.nonce in self._used:
                raise Refused("the challenge has been used", hint="Ask for a new one.")
            self._used[challenge.nonce] = challenge.expires
        return self.tokens.mint(account, now, scope)

    def _sealed_nonce(self, challenge: Challenge) -> bytes:
        """The first half of the nonce, and what the second half must be for this challenge."""
        chance = challenge.nonce[:16]
        sealed = f"{challenge.account} {challenge.expires} ".encode() + chance
        return chance + hmac.new(self._key, sealed, hashlib.sha256).digest()[:16]


def _signer(challenge: Challenge, signature: bytes, chain_id: int, directory: str) -> str | None:
    """Who signed, or None where the signature is malformed."""
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    with signing_library():
        from eth_account import Account
        from eth_account.messages import encode_typed_data

    message = {
        "account": challenge.account,
        "audience": challenge.audience,
        "nonce": challenge.nonce,
        "expires": challenge.expires,
    }
    if len(signature) != 65:
        return None
    signable = encode_typed_data(_domain(chain_id, directory), _TYPES, message)
    try:
        return str(Account.recover_message(signable, signature=signature))
    except (BadSignature, ValidationError, ValueError, TypeError):
        return None


def _domain(chain_id: int, directory: str) -> dict[str, Any]:
    return {"name": _NAME, "chainId": chain_id, "verifyingContract": checksum(directory)}


def _bad_token(why: str) -> Refused:
    return Refused(f"the token {why}", hint="Sign a new challenge.")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
