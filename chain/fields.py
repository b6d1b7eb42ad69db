"""Types of the fields that files of ours share, for pydantic."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from chain.abi import checksum
from market.errors import InvalidInput

__all__ = ["Address"]


def _address(value: str) -> str:
    try:
        return checksum(value)
    except InvalidInput as error:
        raise ValueError(error.message) from error


Address = Annotated[str, AfterValidator(_address)]
"""An account or a contract, in its checksummed form."""
