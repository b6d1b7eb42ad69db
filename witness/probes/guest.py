"""Does the responder in the machine sign? Its key was born in the guest, so nobody outside can sign for it.

One line of JSON each way over TCP (see templates/guest). The nonce is fresh, so no receipt can be kept for
later.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from chain.leaves import guest_digest
from witness.probes.seen import Finding, Knock, Seen, WrongAnswer, knock
from witness.probes.wire import Wire

__all__ = ["GuestSeen", "guest", "signer_of"]

_MOST = 1024


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """What the responder said: `address` (20 bytes) is who really signed, None if nobody did.

    `nonce` and `signature` are the receipt, empty unless the probe is right.
    """

    seen: Seen
    address: bytes | None = None
    nonce: bytes = bytes(32)
    signature: bytes = b""


async def guest(
    host: str,
    port: int,
    seconds: float,
    *,
    lease: int,
    place: int,
    epoch: int,
    round_: int,
    witness: str,
    expected: bytes | None = None,
    loopback: bool = False,
) -> GuestSeen:
    """Ask for a receipt; right if it is signed by `expected` (None: by anyone)."""
    nonce = secrets.token_bytes(32)
    found: dict[str, bytes] = {}

    async def work(noted: Knock) -> str:
        question = {
            "ocx": 1, "lease": lease, "place": place, "epoch": epoch, "round": round_, "witness": witness,
            "nonce": "0x" + nonce.hex(),
        }  # fmt: skip
        with await Wire.open(host, port, noted, loopback=loopback) as wire:
            await wire.send(json.dumps(question).encode() + b"\n")
            answer = json.loads(await wire.line(_MOST))
        signature = bytes.fromhex(answer["signature"].removeprefix("0x"))
        address = signer_of(guest_digest(lease, place, epoch, round_, witness, nonce), signature)
        found.update(address=address, signature=signature)
        if expected is not None and address != expected:
            raise WrongAnswer(f"signed by 0x{address.hex()}", Finding.OTHER_KEY)
        return ""

    seen = await knock(seconds, work)
    if not seen.right:
        return GuestSeen(seen, found.get("address"))
    return GuestSeen(seen, found["address"], nonce, found["signature"])


def signer_of(digest: bytes, signature: bytes) -> bytes:
    """The 20 bytes of the address that signed; WrongAnswer if nobody did, or in a form no contract takes."""
    from coincurve import PublicKey
    from eth_utils.crypto import keccak

    if len(signature) != 65 or signature[64] not in (27, 28):
        raise WrongAnswer("no signature")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise WrongAnswer("a signature that has a twin")
    try:
        compact = signature[:64] + bytes([signature[64] - 27])
        public = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception as error:
        raise WrongAnswer("no signature") from error
    return bytes(keccak(public.format(compressed=False)[1:])[12:])


_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
