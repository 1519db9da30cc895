"""How much of the code the tests run may only rise: `make coverage` asks here, after the tests."""

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ROOM = 0.5
"""How far below what was measured a floor is set, in points: no two runs are quite alike."""


def verdict(covered: float, floor: float) -> str | None:
    """What is wrong with the floor, or None.

    Args:
        covered: What the tests run of the code, in percent.
        floor: `fail_under` of pyproject.toml, in percent.

    Returns:
        What happened and what to change.
    """
    if covered < floor:
        return (
            f"The tests run {covered:.1f} % of the code, less than the {floor} % of fail_under in "
            "pyproject.toml: test what you have added. The report above names its lines."
        )
    if covered >= floor + 1:
        return (
            f"The tests run {covered:.1f} % of the code, and it may not fall back: write "
            f"`fail_under = {covered - ROOM:.1f}` in pyproject.toml."
        )
    return None


def main() -> None:
    """Compare the total of the last run of coverage with its floor."""
    command = [sys.executable, "-m", "coverage", "report", "--format=total", "--fail-under=0"]
    total = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report = tomllib.loads(PROJECT.read_text())["tool"]["coverage"]["report"]
    sys.exit(verdict(float(total), report["fail_under"]))


if __name__ == "__main__":
    main()
