"""Certificates to trust as well as the system's.

Neither driver takes a file of certificates. Both, where they use OpenSSL (not on Windows), look
into the file that the environment variable SSL_CERT_FILE names, instead of the system's own. So
it is given a file that holds both. mssql-python's bulk copy looks only once in a process, at its
first connection that encrypts.
"""

from __future__ import annotations

import atexit
import os
import ssl
import sys
import tempfile
from pathlib import Path
from threading import Lock

from copy_core.errors import ConfigError
from copy_core.failures import from_os

_VARIABLE = "SSL_CERT_FILE"
# Where distributions keep the file; the library that Python was built with may look elsewhere.
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_lock = Lock()
_trusted: dict[str, bytes] = {}


def trust(ca_file: str) -> None:
    """Makes connections of this process trust the certificates of a file, besides those that they
    trust anyway.

    Args:
        ca_file: a file of certificates in PEM form.

    Raises:
        ConfigError: it cannot be read or holds no certificate, or the system cannot do this.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "`ca_file` is not for Windows, where drivers trust what the system trusts",
            fix="Put the certificates into the machine's store of trusted roots",
            code="ca-file",
        )
    with _lock:
        if ca_file in _trusted:
            return
        added = _certificates(ca_file)
        if not _trusted:
            _trusted[""] = _usual()
        _trusted[ca_file] = added
        with tempfile.NamedTemporaryFile(prefix="copyjob-", suffix=".pem", delete=False) as file:
            file.write(b"\n".join(_trusted.values()))
        atexit.register(Path(file.name).unlink, missing_ok=True)
        os.environ[_VARIABLE] = file.name


def _certificates(ca_file: str) -> bytes:
    try:
        content = Path(ca_file).read_bytes()
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ValueError, ssl.SSLError) as e:
        raise _wrong(ca_file) from e
    except OSError as e:
        raise from_os(e, file=ca_file) from e
    return content


def _wrong(ca_file: str) -> ConfigError:
    return ConfigError(
        "the file holds no certificates in PEM form",
        fix="Correct `ca_file` of the connection",
        code="ca-file",
        file=ca_file,
    )


def _usual() -> bytes:
    """The certificates that are trusted without us."""
    files = (os.environ.get(_VARIABLE), ssl.get_default_verify_paths().cafile, *_SYSTEM)
    found = next((Path(f) for f in files if f and Path(f).is_file()), None)
    return found.read_bytes() if found else b""
