"""Lets pytest explain the kit's assertions as it explains those of test files."""

import pytest

KITS = "source_kit source_windows destination_kit destination_values destination_modes store_kit"
for kit in KITS.split():
    pytest.register_assert_rewrite(f"tests.conformance.{kit}")
