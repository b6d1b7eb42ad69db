"""What signing loads, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
before = sys.getrecursionlimit()
from chain.wallet import Wallet, import_key, load
path = sys.argv[1]
made = import_key(path, b"1" * 32, "secret", light=True)
assert load(path, lambda: "secret").address == made.address
assert sys.getrecursionlimit() == before, "nested JSON of a stranger must not end the process"
assert not [name for name in sys.modules if name.startswith("py_ecc")], "a second of CPU for nothing"
"""


def test_a_keystore_is_made_and_opened_without_the_library_of_other_curves(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{tmp_path}/key.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_who_has_that_library_keeps_it(tmp_path: object) -> None:
    program = (
        f"import py_ecc.bls\n{PROGRAM.splitlines()[1]}\nfrom chain.wallet import Wallet\nWallet(b'1' * 32)\n"
    )
    program += "import py_ecc.bls; assert py_ecc.bls.G2ProofOfPossession is not None"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
