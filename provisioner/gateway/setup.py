"""A buyer's setup as it comes in at the gateway: SSH keys, a hostname, short texts, and nothing else.

This module only reads; whether the caller may set anything up is the gateway's question.
"""

from __future__ import annotations

import re
from typing import Any

from market.errors import InvalidInput
from provisioner.store.records import Setup

__all__ = ["read_setup"]

_MOST_KEYS = 16
_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" [A-Za-z0-9+/]{32,1400}={0,3}( [\x21-\x7e ]{0,120})?"
)
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def read_setup(body: dict[str, Any]) -> Setup:
    """A buyer's setup from JSON; InvalidInput for anything that is not exactly that."""
    unknown = set(body) - {"ssh_public_keys", "hostname", "properties"}
    if unknown:
        raise InvalidInput(f"a setup has no field {', '.join(sorted(map(str, unknown)))[:100]}")
    keys, hostname, properties = (
        body.get("ssh_public_keys"),
        body.get("hostname", ""),
        body.get("properties", {}),
    )
    if not isinstance(keys, list) or not 0 < len(keys) <= _MOST_KEYS:
        raise InvalidInput(f"ssh_public_keys must be a list of 1 to {_MOST_KEYS} keys")
    if not all(isinstance(key, str) and _KEY.fullmatch(key.strip()) for key in keys):
        raise InvalidInput("an SSH public key is malformed", hint="It looks like: ssh-ed25519 AAAA...")
    if not isinstance(hostname, str) or (hostname and not _HOSTNAME.fullmatch(hostname)):
        raise InvalidInput("the hostname must be a label of small letters, digits and hyphens")
    if not isinstance(properties, dict) or not all(_is_property(item) for item in properties.items()):
        raise InvalidInput("properties must be short texts under names of small letters")
    return Setup(tuple(key.strip() for key in keys), hostname, dict(properties))


def _is_property(item: tuple[object, object]) -> bool:
    name, value = item
    return (
        isinstance(name, str)
        and _NAME.fullmatch(name) is not None
        and isinstance(value, str)
        and len(value) <= 2048
        and value.isprintable()
    )
