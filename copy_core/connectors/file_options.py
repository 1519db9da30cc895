"""What connections to files may say. Plain data: no vendor SDK is imported to check it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from copy_core.connectors.option_types import LocalPath, secret_by_reference
from copy_core.job import Definition, Name

Packing = Literal["none", "snappy", "gzip", "zstd"]
_TEXT = ("csv", "jsonl")


class CsvOptions(Definition):
    """How CSV files are written down."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """One character between two values: of ASCII, and neither a quote nor the end of a line."""
    header: bool = True
    """Whether the first line names the columns; without it they are c0, c1, and so on."""
    null: str = ""
    """The unquoted text that stands for no value."""
    encoding: Name = "utf-8"
    """The encoding of the files that are read, such as utf-16 or windows-1252."""

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, delimiter: str) -> str:
        if not delimiter.isascii() or delimiter in '\0"\r\n':
            raise ValueError("must be a character of ASCII, and no quote or end of a line")
        return delimiter


class FileOptions(Definition):
    """How the files of a connection are to be understood."""

    format: Literal["parquet", "csv", "jsonl", "binary"] = "parquet"
    """The format of its files; `binary` copies files as they are, whatever is in them."""
    types: dict[Name, str] = {}
    """Types of columns of CSV and JSON lines, such as `decimal(10,2)`; the rest is inferred."""
    csv: CsvOptions = CsvOptions()
    """The CSV dialect."""
    compression: Packing | None = None
    """How files are packed that are written: Parquet with `snappy`, text not at all by default."""
    file_mb: Annotated[int, Field(ge=1, le=4096)] = 448
    """How large a file that is written may grow, in megabytes (2**20 bytes), about."""
    bad_rows: Literal["fail", "skip"] = "fail"
    """Lines of CSV and JSON lines that are no row of the table: `fail` stops, `skip` leaves them
    out, counts them, and writes them to a reject file."""

    @field_validator("compression")
    @classmethod
    def _packs(cls, packing: Packing | None, info: ValidationInfo) -> Packing | None:
        if packing == "snappy" and info.data.get("format") in _TEXT:
            raise ValueError("text is packed with gzip or zstd, or not at all (none)")
        return packing

    @field_validator("bad_rows")
    @classmethod
    def _has_lines(cls, policy: str, info: ValidationInfo) -> str:
        if policy == "skip" and info.data.get("format", "csv") not in _TEXT:
            raise ValueError("skip leaves out lines: it is for `format: csv` and `format: jsonl`")
        return policy


class LocalOptions(FileOptions):
    """Files in a folder of this machine."""

    type: Literal["local"]
    root: LocalPath
    """The folder; objects are named by paths below it."""


class S3Options(FileOptions):
    """Files in a bucket of Amazon S3, or of a service that speaks its protocol."""

    type: Literal["s3"]
    bucket: Name
    """The bucket."""
    prefix: str = ""
    """The path in it below which the files are."""
    region: str | None = None
    """Its region; the environment's when left out."""
    endpoint_url: str | None = None
    """The address of another service than Amazon's."""
    access_key_id: str | None = None
    """The access key; without it, boto3's own chain finds one: environment, profile, role."""
    secret_access_key: str | None = None
    """Its secret: `${env:NAME}`."""
    session_token: str | None = None
    """The token of temporary keys: `${env:NAME}`."""
    role_arn: str | None = None
    """A role to assume."""
    external_id: str | None = None
    """What the role's owner asks for besides."""
    web_identity: str | None = None
    """The audience of an Entra ID token to assume the role with, such as
    `api://AzureADTokenExchange`: then no key is kept anywhere."""

    @field_validator("secret_access_key", "session_token")
    @classmethod
    def _secret(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("access_key_id and secret_access_key belong together")
        if self.session_token and not self.access_key_id:
            raise ValueError("session_token belongs to access_key_id and secret_access_key")
        if (self.external_id or self.web_identity) and not self.role_arn:
            raise ValueError("external_id and web_identity are for a role: give role_arn too")
        if self.web_identity and self.access_key_id:
            raise ValueError("web_identity takes the place of keys: leave access_key_id out")
        return self


BlobSignIn = Literal[
    "default", "managed_identity", "service_principal", "account_key", "sas", "anonymous"
]


class AzureStorageOptions(FileOptions):
    """Files in a container of Azure Blob Storage or ADLS Gen2."""

    type: Literal["azure_blob", "adls_gen2"]
    """Which service; `adls_gen2` is an account with a hierarchical namespace."""
    account_url: Name
    """The account's address, such as `https://ACCOUNT.blob.core.windows.net`; of ADLS Gen2 also
    `https://ACCOUNT.dfs.core.windows.net`."""
    container: Name
    """The container."""
    prefix: str = ""
    """The path in it below which the files are."""
    auth: BlobSignIn | None = None
    """How to sign in: by the secret that is given, else `default`, which is Entra ID by the
    environment, the managed identity or the developer's own login."""
    account_key: str | None = None
    """The account's key: `${env:NAME}`."""
    sas: str | None = None
    """A shared access signature: `${env:NAME}`."""
    client_id: str | None = None
    """The application of a service principal, or a user-assigned managed identity."""
    tenant_id: str | None = None
    """The tenant of a service principal."""
    client_secret: str | None = None
    """The secret of a service principal: `${env:NAME}`."""

    @property
    def sign_in(self) -> BlobSignIn:
        """How to sign in, where `auth` leaves it open too."""
        if self.auth:
            return self.auth
        if self.account_key:
            return "account_key"
        return "sas" if self.sas else "default"

    @field_validator("account_key", "sas", "client_secret")
    @classmethod
    def _secret(cls, secret: str | None) -> str | None:
        return secret_by_reference(secret)

    @field_validator("account_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if "?" in url:
            raise ValueError("holds a signature: give it in `sas`, as ${env:NAME}")
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost", "${")):
            raise ValueError("is no address: write https://ACCOUNT.blob.core.windows.net")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needed, allowed = _SIGN_INS[self.sign_in]
        named = {name for name in _OF_SIGN_IN if getattr(self, name)}
        if spare := ", ".join(sorted(named - needed - allowed)):
            raise ValueError(f"{spare} has no use with `auth: {self.sign_in}`: leave it out")
        if missing := " and ".join(sorted(needed - named)):
            raise ValueError(f"`auth: {self.sign_in}` needs {missing}")
        return self


# What each way to sign in needs, and what it may be given besides.
_OF_SIGN_IN = ("account_key", "sas", "client_id", "tenant_id", "client_secret")
_SIGN_INS: dict[BlobSignIn, tuple[set[str], set[str]]] = {
    "default": (set(), {"client_id"}),
    "managed_identity": (set(), {"client_id"}),
    "service_principal": ({"tenant_id", "client_id", "client_secret"}, set()),
    "account_key": ({"account_key"}, set()),
    "sas": ({"sas"}, set()),
    "anonymous": (set(), set()),
}
