"""The long run: `python -m tests.crash --schedules 10000 [--seed S] [--workers W]`."""

from __future__ import annotations

import argparse
import os
import sys

from tests.crash.long_run import run


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line and runs; 1 when a promise was broken, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    return run(chosen.schedules, chosen.seed, chosen.workers)


if __name__ == "__main__":
    sys.exit(main())
