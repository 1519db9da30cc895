"""Connection strings, the search for a driver, and the certificates to trust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mssql_python.connection_string_parser import _ConnectionStringParser

from copy_core.connectors.options import MssqlOptions
from copy_core.connectors.sql.mssql.connect import direct_string, driver, missing, odbc_string
from copy_core.connectors.sql.mssql.trust import trust
from copy_core.errors import ConfigError

TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


def options(**given: Any) -> MssqlOptions:
    plain = MssqlOptions(type="sql_server", server="db.example,1444", database="sales")
    return plain.model_copy(update=given)


def parsed(text: str) -> dict[str, str]:
    """The string as a driver reads it."""
    return dict(_ConnectionStringParser()._parse(text))


@given(database=TEXT, user=TEXT, password=TEXT)
def test_no_value_can_smuggle_in_a_keyword(database: str, user: str, password: str) -> None:
    given = options(database=database, user=user, password=password)
    for text in (direct_string(given), odbc_string(given, "/lib/driver.so")):
        words = parsed(text)
        assert (words["database"], words["uid"], words["pwd"]) == (database, user, password)
        assert words["trustservercertificate"] == "no"


def test_both_drivers_are_told_the_same() -> None:
    given = options(user="me", password="p", read_only=True)
    direct, odbc = parsed(direct_string(given)), parsed(odbc_string(given, "/lib/driver.so"))
    assert direct.items() < odbc.items()
    assert odbc.keys() - direct.keys() == {"driver", "app", "mars_connection"}
    assert direct["applicationintent"] == "ReadOnly"
    assert direct["server"] == "db.example,1444"


def test_a_password_is_sent_only_where_a_login_wants_one() -> None:
    kerberos = parsed(direct_string(options()))
    assert kerberos["trusted_connection"] == "yes"
    assert not kerberos.keys() & {"uid", "pwd"}
    token = parsed(direct_string(options(auth="managed_identity", client_id="c")))
    assert not token.keys() & {"uid", "pwd", "trusted_connection", "authentication"}


@pytest.mark.parametrize("encrypt", ["yes", "strict", "no"])
def test_encryption_is_what_the_connection_says(encrypt: str) -> None:
    words = parsed(direct_string(options(encrypt=encrypt)))
    assert (words["encrypt"], words["trustservercertificate"]) == (encrypt, "no")


def test_mssql_python_takes_every_keyword() -> None:
    strict = _ConnectionStringParser(validate_keywords=True)
    assert strict._parse(direct_string(options(user="me", password="p", read_only=True)))


def test_the_driver_that_is_found_can_be_loaded() -> None:
    assert "msodbcsql" in driver() or driver().startswith("ODBC Driver")


def test_a_missing_system_library_is_named_with_its_package() -> None:
    error = missing(
        "libgssapi_krb5.so.2: cannot open shared object file: No such file or directory"
    )
    assert error.code == "driver-missing"
    assert "libgssapi_krb5.so.2" in error.what
    assert "apt install libgssapi-krb5-2" in error.fix
    assert "Microsoft ODBC Driver 18" in missing("something else").fix


def test_certificates_are_trusted_besides_the_usual_ones(tmp_path: Path) -> None:
    # In a process of its own: what one trusts, it trusts to its end.
    usual, added = tmp_path / "usual.pem", tmp_path / "added.pem"
    roots = sorted(Path("/etc/ssl/certs").glob("*.pem"))[:2]
    usual.write_bytes(roots[0].read_bytes())
    added.write_bytes(roots[1].read_bytes())
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from copy_core.connectors.sql.mssql.trust import trust\n"
        "trust(sys.argv[1]); first = os.environ['SSL_CERT_FILE']\n"
        "trust(sys.argv[1]); assert os.environ['SSL_CERT_FILE'] == first\n"
        "sys.stdout.write(Path(first).read_text()); sys.stderr.write(first)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(added)],
        env={"SSL_CERT_FILE": str(usual), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert usual.read_text() in done.stdout
    assert added.read_text() in done.stdout
    assert not Path(done.stderr).exists()


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    with pytest.raises(ConfigError) as e:
        trust(str(wrong))
    assert (e.value.code, e.value.where) == ("ca-file", {"file": str(wrong)})
    with pytest.raises(ConfigError, match="No such file"):
        trust(str(tmp_path / "none.pem"))
