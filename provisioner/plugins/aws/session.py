"""Credentials and clients: boto3's usual chain, a secret of our own, and the organisation's role on top.

This is the one place that touches credentials; they are kept in botocore's objects and nowhere else.
"""

from __future__ import annotations

import datetime
import functools
import json
import logging
from typing import Any

import boto3.session
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session

from daemons.secrets import SecretSource
from market.errors import Permanent
from provisioner.plugins.aws.settings import AwsSettings

__all__ = ["Clients"]

_REREAD = datetime.timedelta(minutes=20)
"""botocore renews a quarter of an hour before the end, so a secret without one is read every 5 minutes."""


class Clients:
    """One set of credentials, and clients that use it, each made when it is first asked for.

    Contacts nothing before a client's first call. Raises what botocore raises for a profile that does not
    exist. botocore's own debug log repeats what STS answers, secrets included, so it is held at INFO. Not
    safe to use from several threads; its clients are.
    """

    def __init__(self, settings: AwsSettings) -> None:
        logging.getLogger("botocore").setLevel(max(logging.INFO, logging.getLogger().level))
        self._settings, self._made = settings, dict[str, Any]()
        self._session = boto3.session.Session(
            botocore_session=_session(settings), region_name=settings.region
        )

    def get(self, name: str) -> Any:
        """The client `ec2`, `launch` (EC2 without repetition) or `sts`."""
        if name not in self._made:
            service, attempts = {
                "ec2": ("ec2", self._settings.retries),
                "launch": ("ec2", 1),
                "sts": ("sts", self._settings.retries),
            }[name]
            self._made[name] = self._session.client(
                service, endpoint_url=self._settings.endpoint_url, config=_config(self._settings, attempts)
            )
        return self._made[name]


@functools.cache
def _loader() -> Any:
    """What reads botocore's descriptions of AWS: megabytes, the same for every session."""
    return botocore.loaders.create_loader()


def _bare_session(profile: str | None) -> Any:
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader())
    return session


def _session(settings: AwsSettings) -> Any:
    session = _bare_session(settings.profile)
    if settings.credentials is not None:
        source = settings.credentials
        session._credentials = botocore.credentials.DeferredRefreshableCredentials(
            lambda: _from_secret(source), "ocx-secret"
        )
    return session if settings.role_arn is None else _as_role(session, settings)


def _config(settings: AwsSettings, attempts: int) -> Any:
    return botocore.config.Config(
        connect_timeout=settings.request_timeout,
        read_timeout=settings.request_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=32,
    )


def _as_role(session: Any, settings: AwsSettings) -> Any:
    """A session whose credentials are those of the role, renewed with the first session's."""

    def sts(_service: str, **keys: Any) -> Any:
        maker = boto3.session.Session(botocore_session=session, region_name=settings.region)
        return maker.client("sts", endpoint_url=settings.endpoint_url, config=_config(settings, 3), **keys)

    extra = {"RoleSessionName": settings.role_session_name}
    if settings.external_id:
        extra["ExternalId"] = settings.external_id

    def fetch() -> Any:
        source = session.get_credentials()
        if source is None:
            raise botocore.exceptions.NoCredentialsError
        fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
            sts, source, settings.role_arn, extra_args=extra, cache={}
        )
        return fetcher.fetch_credentials()

    as_role = _bare_session(None)
    as_role._credentials = botocore.credentials.DeferredRefreshableCredentials(fetch, "assume-role")
    return as_role


def _from_secret(source: SecretSource) -> dict[str, Any]:
    """The secret in the form botocore renews from."""
    try:
        found = json.loads(source.read())
        keys = {"access_key": str(found["AccessKeyId"]), "secret_key": str(found["SecretAccessKey"])}
        token, until = found.get("SessionToken"), found.get("Expiration")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Permanent(
            f"{source} is not AWS credentials",
            hint='It must be JSON: {"AccessKeyId": "...", "SecretAccessKey": "..."}.',
        ) from None
    reread = datetime.datetime.now(datetime.UTC) + _REREAD
    return {**keys, "token": token, "expiry_time": until or reread.isoformat()}
