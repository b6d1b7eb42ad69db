"""What a plugin asks a machine's SSH server from outside: the host key it presents.

This module must not know any cloud, and never logs in anywhere.
"""

from __future__ import annotations

import subprocess

from market.errors import Permanent

__all__ = ["host_key_at"]


def host_key_at(host: str, port: int, *, seconds: int = 5) -> str | None:
    """The ed25519 host key presented at `host:port` as `ssh-ed25519 AAAA...`; None while nothing answers.

    Blocking: at most some `seconds`. It is what the network says: whoever trusts it trusts the network
    between here and the machine. Raises `Permanent` if ssh-keyscan is not installed.
    """
    argv = ["ssh-keyscan", "-T", str(seconds), "-t", "ed25519", "-p", str(port), "--", host]
    try:
        output = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 25, check=False
        ).stdout
    except FileNotFoundError as error:
        raise Permanent("ssh-keyscan is missing", hint="Install openssh-client.") from error
    except subprocess.TimeoutExpired:
        return None
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] == "ssh-ed25519":
            return f"{words[1]} {words[2]}"
    return None
