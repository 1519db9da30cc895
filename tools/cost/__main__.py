"""`python -m tools.cost`: counts all scenarios, and writes the tables of docs/cost.md anew.

`python -m tools.cost tables` writes the tables from what was counted last: after a change of the
prices, the rules or the alerts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests import servers
from tools.cost import counts, page, scenarios
from tools.cost.app import started


def count() -> dict[str, counts.Counted]:
    """Counts every scenario."""
    with (
        tempfile.TemporaryDirectory(prefix="copyjob-cost-") as work,
        servers.session(root := Path(work, "servers")),
    ):
        azurite = servers.azurite(root)
        os.environ[azurite.BLOB_URL_VARIABLE] = azurite.blob_origin
        folder = Path(work, "site")
        folder.mkdir()
        with started(folder, azurite) as app:
            return dict(scenarios.all_of(app))


def main() -> None:
    """Does as the arguments say."""
    if sys.argv[1:] not in ([], ["tables"]):
        raise SystemExit(__doc__)
    if not sys.argv[1:]:
        page.COUNTED.write_text(counts.dump(count()), "utf-8")
    page.PAGE.write_text(page.filled(page.PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
