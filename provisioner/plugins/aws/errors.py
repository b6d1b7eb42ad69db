"""What EC2's refusals mean to the caller: an `OcxError` for every way a call to AWS can fail.

This module must not call anything.
"""

from __future__ import annotations

import http.client
from typing import Any
from xml.etree import ElementTree

import botocore.exceptions as boto
import urllib3.exceptions
from botocore.parsers import ResponseParserError

from market.errors import OcxError, Permanent, Temporary

__all__ = ["TROUBLES", "AwsRefusal", "AwsTrouble", "NoCapacity", "code_of", "translate"]

TROUBLES = (
    boto.BotoCoreError,
    boto.ClientError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    RuntimeError,
    ResponseParserError,
    ElementTree.ParseError,
)
"""What botocore raises; RuntimeError is its word for credentials that came expired."""

_CAPACITY = frozenset(
    ("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity")
    + ("InsufficientCapacity", "InsufficientAddressCapacity", "InsufficientFreeAddressesInSubnet")
)
_LIMITS = frozenset(
    ("InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded")
    + ("SecurityGroupLimitExceeded", "KeyPairLimitExceeded", "ResourceLimitExceeded", "PendingVerification")
)
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired"))
_CLOCK = frozenset(("RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"))
_LOGIN = frozenset(
    ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "MissingAuthenticationToken")
    + ("IncompleteSignature", "OptInRequired", "InvalidAccessKeyId", "Blocked")
)
_RIGHTS = frozenset(("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"))
_BUSY = frozenset(
    (
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "BandwidthLimitExceeded",
    )
    + ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "IncorrectInstanceState")
    + (
        "IncorrectState",
        "DependencyViolation",
        "ResourceCountLimitExceeded",
        "EBSProvisionedIOPSLimitExceeded",
    )
    + ("InsufficientVolumeCapacity", "IdempotentParameterMismatch", "ConcurrentModification", "VolumeInUse")
)
_UNSEEN = frozenset(
    ("InvalidGroup.NotFound", "InvalidKeyPair.NotFound", "InvalidInstanceID.NotFound")
    + ("InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound")
)
"""What EC2 may also say of something that was made a moment ago."""
_LOGIN_HINT = "Check the credentials: ocx provider check says which are used."


class AwsTrouble(Temporary):
    """AWS could not be reached, or could not do it now; `code` is its own word, or empty."""

    def __init__(self, message: str, *, code: str = "", **more: Any) -> None:
        super().__init__(message, code=code, **more)
        self.code = code


class NoCapacity(AwsTrouble):
    """AWS has no such instance left, or the account may not have more of them."""


class AwsRefusal(Permanent):
    """AWS refuses, and will again; `code` is its own word."""

    def __init__(self, message: str, *, code: str = "", **more: Any) -> None:
        super().__init__(message, code=code, **more)
        self.code = code


def code_of(error: OcxError) -> str:
    """AWS's own word for an error; empty if there is none."""
    return str(getattr(error, "code", ""))


def translate(error: Exception, what: str) -> OcxError:
    """The error of ours for an error of botocore's; `what` names the request."""
    if isinstance(error, OcxError):
        return error
    if isinstance(error, boto.ClientError):
        return _refusal(error, what)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return AwsRefusal(f"there are no usable AWS credentials: {error}", hint=_LOGIN_HINT)
    if isinstance(error, boto.ParamValidationError):
        return AwsRefusal(f"{what} cannot be asked like that: {error}", hint="Correct the product's extra.")
    if isinstance(error, boto.CredentialRetrievalError | boto.MetadataRetrievalError | RuntimeError):
        return AwsTrouble(f"the AWS credentials cannot be had now ({what}): {error}", retry_after=10)
    if isinstance(error, ResponseParserError | ElementTree.ParseError):  # whose words repeat the answer
        return AwsTrouble(f"AWS gave half an answer to {what}", retry_after=2)
    return AwsTrouble(f"AWS cannot be reached ({what}): {error}", retry_after=5)


def _refusal(error: boto.ClientError, what: str) -> OcxError:
    told = error.response.get("Error") or {}
    code, words = str(told.get("Code") or "an unknown error"), str(told.get("Message") or "no reason given")
    status = int((error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    text = f"AWS answers {code} to {what}: {words[:400]}"
    if code in _CAPACITY:
        hint = "AWS has none left there now; it is tried again. Another subnet or type may have some."
        return NoCapacity(text, code=code, hint=hint, retry_after=30)
    if code in _LIMITS:
        hint = "The account's quota is used up: raise it at AWS, or lower the product's count."
        return NoCapacity(text, code=code, hint=hint, retry_after=60)
    if code in _EXPIRED:
        return AwsTrouble(text, code=code, hint="The credentials expired and are read anew.", retry_after=2)
    if code in _CLOCK:
        hint = "Check this machine's clock and the secret key."
        return AwsRefusal(text, code=code, hint=hint)
    if code in _LOGIN:
        return AwsRefusal(text, code=code, hint=_LOGIN_HINT)
    if code in _RIGHTS:
        return AwsRefusal(text, code=code, hint="Give the user or role that right; docs/aws.md lists them.")
    if code in _BUSY or code in _UNSEEN or status >= 500 or status in (408, 429) or not told.get("Code"):
        return AwsTrouble(text, code=code, retry_after=5)
    return AwsRefusal(text, code=code, hint="Correct the product in the plugin's settings.")
