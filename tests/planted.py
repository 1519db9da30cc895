"""Secrets as tests plant them: each holds one mark, and all are found by looking for it.

What a test hands over as a real secret (a key, a token, a password in an environment variable) is
`planted`. What a test writes into a file on purpose, to see it refused, is another value: so every
place where the mark turns up is a leak, see `tests.leaks`.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

# Written backwards: copies of this file are no leak.
MARK = "terces4detnalp"[::-1]
_CHUNK = 16 << 20


def planted(name: str) -> str:
    """A secret of letters, digits and hyphens, 16 characters or more.

    Args:
        name: what it is for.
    """
    return f"{name}-{MARK}"


def planted_key(size: int) -> str:
    """A key of so many bytes in base64, whose text is planted."""
    whole = size // 3 * 4
    return (MARK * whole)[:whole] + b64encode(bytes(size % 3)).decode()


def _forms(secret: str) -> Iterator[tuple[bytes, str]]:
    """A secret as it may look within other things, and what that form is called."""
    raw, wide = secret.encode(), secret.encode("utf-16-le")[:-1]  # of either byte order
    yield raw, "plain"
    yield quote(secret, safe="").encode(), "quoted"
    yield wide, "UTF-16"
    yield raw.hex().encode(), "hex"
    yield raw.hex().upper().encode(), "hex"
    for data in (raw, wide):
        for before in range(3):
            # Only the characters that no neighbouring byte has a part in.
            first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
            yield b64encode(bytes(before) + data)[first:last], "base64"


def _of_the_operator() -> Iterator[str]:
    """The password of the server that COPYJOB_TEST_MSSQL names, which holds no mark."""
    server = os.environ.get("COPYJOB_TEST_MSSQL", "")
    given = re.search(r"(?i:\b(?:pwd|password)) *=([^;]{8,})", server)
    if given:
        yield given[1]


_FORMS: dict[bytes, str] = {}
for _secret in (MARK, *_of_the_operator()):
    for _form, _kind in _forms(_secret):
        _FORMS.setdefault(_form, _kind)  # quoted is often the same as plain
_OVERLAP = max(map(len, _FORMS)) - 1


def found(data: bytes) -> str:
    """The form in which a planted secret is in `data`; "" when there is none."""
    return next((kind for form, kind in _FORMS.items() if form in data), "")


def found_in_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files below a folder that hold a planted secret, and in which form.

    What is compressed, as most Parquet files are, is not looked into.
    """
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            if kind := _in_file(path):
                yield path, kind


def _in_file(path: Path) -> str:
    try:
        if not S_ISREG(path.lstat().st_mode):
            return ""
        with path.open("rb", buffering=0) as file:
            before = b""
            while chunk := file.read(_CHUNK):
                if kind := found(before + chunk):
                    return kind
                before = chunk[-_OVERLAP:]
    except FileNotFoundError:
        pass  # whoever made it has removed it meanwhile
    return ""
