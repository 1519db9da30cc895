"""How connections to Microsoft Fabric say who signs in with Entra ID. Plain data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from copy_core.connectors.option_types import secret_by_reference
from copy_core.job import Definition

_OF_PRINCIPAL = ("tenant_id", "client_id", "client_secret")


class EntraOptions(Definition):
    """Who signs in with Entra ID, where there is no other way."""

    auth: Literal["default", "managed_identity", "service_principal"] = "default"
    """How to sign in with Entra ID: `default` is by the environment, the managed identity or the
    developer's own login."""
    client_id: str | None = None
    """The application of a service principal, or a user-assigned managed identity."""
    tenant_id: str | None = None
    """The tenant of a service principal."""
    client_secret: str | None = None
    """The secret of a service principal: `${env:NAME}`."""

    @field_validator("client_secret")
    @classmethod
    def _secret(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @model_validator(mode="after")
    def _signs_in(self) -> Self:
        named = {name for name in _OF_PRINCIPAL if getattr(self, name)}
        if self.auth == "service_principal":
            if missing := " and ".join(name for name in _OF_PRINCIPAL if name not in named):
                raise ValueError(f"`auth: service_principal` needs {missing}")
        elif spare := ", ".join(sorted(named - {"client_id"})):
            raise ValueError(f"{spare} has no use with `auth: {self.auth}`: leave it out")
        return self
