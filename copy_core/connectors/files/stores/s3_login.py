"""How connections to S3 sign in: by keys, boto3's own chain, a role, or a token of Entra ID."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    AssumeRoleWithWebIdentityCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.session import Session, get_session

if TYPE_CHECKING:
    from copy_core.connectors.file_options import S3Options


def signed_in(options: S3Options) -> Session:
    """A session that has the credentials of a connection.

    Args:
        options: the connection, secrets resolved.

    Raises:
        NoCredentialsError: boto3 finds none; other errors of botocore likewise.
    """
    own = get_session()
    if options.access_key_id and options.secret_access_key:
        own.set_credentials(options.access_key_id, options.secret_access_key, options.session_token)
    if not options.web_identity and own.get_credentials() is None:
        raise NoCredentialsError
    if not options.role_arn:
        return own
    acting = get_session()
    acting.register_component("credential_provider", _Provider(_role(own, options)))
    return acting


def _role(own: Session, options: S3Options) -> Credentials:
    """The credentials of a role, which get new keys by themselves before the old ones expire."""
    region = options.region or own.get_config_variable("region") or "us-east-1"
    create = partial(own.create_client, region_name=region)
    asked = {"RoleSessionName": "copyjob"}
    role = options.role_arn or ""
    fetcher: AssumeRoleCredentialFetcher | AssumeRoleWithWebIdentityCredentialFetcher
    if audience := options.web_identity:
        token = partial(entra_token, audience)
        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(create, token, role, extra_args=asked)
    else:
        if options.external_id:
            asked["ExternalId"] = options.external_id
        fetcher = AssumeRoleCredentialFetcher(create, own.get_credentials(), role, extra_args=asked)
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


class _Provider(NamedTuple):
    """What a session asks for its credentials, in place of boto3's chain."""

    credentials: Credentials

    def load_credentials(self) -> Credentials:
        return self.credentials


def entra_token(audience: str) -> str:
    """A token of Entra ID that says who we are: the managed identity, the environment's service
    principal or the developer's own login.

    Args:
        audience: what it is for, as the role's trust policy names it.

    Raises:
        ConfigError: Entra ID gives none.
        TransientError: Entra ID does not answer.
    """
    from copy_core import entra

    return entra.token(entra.own(), f"{audience}/.default")
