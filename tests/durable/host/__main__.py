"""Starts a host: `python -m tests.durable.host APPDIR --db FILE --port 0`.

The key of functions that are not anonymous comes from the environment variable HOST_KEY. When the
host serves, it says so in one line of JSON on its output: `{"port": 41234}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from pathlib import Path
from typing import get_args

from tests.durable.host.limits import MESSAGE_BYTES
from tests.durable.host.options import Delivery, Options
from tests.durable.host.server import Host


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.durable.host", description=__doc__)
    parser.add_argument("app", type=Path, metavar="APPDIR", help="where function_app.py is")
    parser.add_argument("--db", required=True, help="the SQLite file")
    parser.add_argument("--port", type=int, default=7071, help="0 for a free one")
    parser.add_argument("--strict", action="store_true", help="replay on every event, and compare")
    parser.add_argument("--deliver", choices=get_args(Delivery), default="once")
    parser.add_argument("--message-bytes", type=int, default=MESSAGE_BYTES)
    parser.add_argument("--no-timers", action="store_true")
    return parser.parse_args()


async def _main() -> None:
    given = _arguments()
    options = Options(
        strict=given.strict,
        deliver=given.deliver,
        message_bytes=given.message_bytes,
        timers=not given.no_timers,
    )
    host = Host(given.app, given.db, os.environ["HOST_KEY"], options)
    print(json.dumps({"port": await host.start(given.port)}), flush=True)
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    await stopped.wait()
    await host.stop()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_main())
