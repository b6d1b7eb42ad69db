"""Imports `eth_account` without what it does not need for us.

Its keystores may be of version 4, whose keys are of another curve. To know that curve, it computes for most
of a second at each start of a process, and lets Python nest 100,000 calls, more than the stack holds: from
then on a few thousand opening brackets in somebody's JSON end the process. Ours are of version 3. This module
must not import anything heavy itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["signing_library"]

_CURVES: dict[str, dict[str, object]] = {
    "py_ecc": {"__path__": []},
    "py_ecc.bls": {"G2ProofOfPossession": None},
    "py_ecc.bls12_381": {"curve_order": 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001},
    "py_ecc.secp256k1": {"N": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141},
}
"""Of the library of curves only what is asked for by name while `eth_keyfile` is imported."""
_lock = threading.Lock()


@contextmanager
def signing_library() -> Iterator[None]:
    """Import `eth_account` and its parts inside; where they are imported already, nothing is changed."""
    with _lock:
        needed = "eth_keyfile" not in sys.modules and "py_ecc" not in sys.modules
        if needed:
            for name, contents in _CURVES.items():
                module = ModuleType(name)
                vars(module).update(contents)
                sys.modules[name] = module
        try:
            yield
        finally:
            if needed:
                for name in _CURVES:
                    del sys.modules[name]
