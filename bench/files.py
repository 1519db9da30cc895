"""Objects as they are, from S3 to Azure Blob Storage, through both emulators: against the raw
libraries and rclone on the same objects; and what it takes to look at very many of them.

rclone is a package of Debian: `apt-get install rclone`. Without it those lines are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from bench.file_copies import FEW, THREADS, Ends, container_client, s3_client
from tests import servers
from tests.store_proxy import proxy

SIZES = {"files_many": (200, 1 << 20), "files_large": (4, 256 << 20)}
# Filling LocalStack with 100,000 takes five minutes: COPYJOB_BENCH_OBJECTS=100000.
SMALL = int(os.environ.get("COPYJOB_BENCH_OBJECTS", "20000"))
RUNS = 3
RAW_MARK = 0.8
# A first plan lists twice: the window's end must be known before what lies in it is cut.
PLAN_MARKS = {"planned": 0.4, "unchanged": 0.8}
BUCKET = "bench"
_MB = 1 << 20

Report = Callable[[str, float, float, float], None]


def file_benches(report: Report) -> dict[str, Callable[[], None]]:
    """Every bench of this module by its name."""
    return {
        **{name: partial(copying, name, report) for name in SIZES},
        "files_listing": partial(listing, report),
    }


def copying(name: str, report: Report) -> None:
    """Our rate over that of the slower of raw download and raw upload, and over rclone's."""
    count, size = SIZES[name]
    ways = ["down", "up", "loop", "ours", *(["rclone"] if shutil.which("rclone") else [])]
    seconds: dict[str, list[float]] = {how: [] for how in ways}
    peak_mb = 0.0
    with _servers() as (localstack, azurite, work):
        _fill(localstack, name, count, size)
        for run in range(RUNS):
            for how in ways if run % 2 else reversed(ways):
                ends = Ends(
                    localstack.endpoint, BUCKET, name, azurite.blob_endpoint, f"{how}-{run}"
                )
                measured = _copied(how, ends, work, 0 if how == "down" else count * size)
                seconds[how].append(measured["seconds"])
                if how == "ours":
                    peak_mb = max(peak_mb, measured["peak_mb"])
    medians = {how: median(each) for how, each in seconds.items()}
    told = [f"{how} {count * size / _MB / s:.0f}" for how, s in medians.items()]
    print(f"# {name}, MB/s: {', '.join(told)}", flush=True)
    bound = max(medians["down"], medians["up"])
    report(name, bound / medians["ours"], RAW_MARK, peak_mb)
    report(f"{name}_loop", medians["loop"] / medians["ours"], 1.0, peak_mb)
    if "rclone" in medians:
        report(f"{name}_rclone", medians["rclone"] / medians["ours"], 1.0, peak_mb)
    else:
        print("# no rclone here: apt-get install rclone", flush=True)


def listing(report: Report) -> None:
    """A raw listing over our first plan, and over a run with nothing new, which only lists."""
    with _servers() as (localstack, azurite, work):
        _fill(localstack, "small", SMALL, 1)
        ends = Ends(localstack.endpoint, BUCKET, "small", azurite.blob_endpoint, "small")
        container_client(ends.blob, ends.container).create_container()
        raw = _child("listing", ends, work)["seconds"]
        with proxy(localstack.endpoint) as counting:
            for name, how in (("planned", "planned"), ("unchanged", "ours")):
                _child("rewound", ends, work)
                ours = _child(how, ends, work)
                counting.reset()
                _child(how, ends._replace(s3=counting.origin), work)
                asked = [path for _, path in counting.requests if ends.folder in path]
                assert all("list-type=" in path or "uploads" in path for path in asked)
                print(
                    f"# {name}: {SMALL:,} objects, {ours['seconds']:.1f} s,"
                    f" {ours['peak_mb']:.0f} MB, {len(asked)} requests, all for listings;"
                    f" a raw listing {raw:.1f} s",
                    flush=True,
                )
                report(f"files_{name}", raw / ours["seconds"], PLAN_MARKS[name], ours["peak_mb"])


def _copied(how: str, ends: Ends, work: Path, size: int) -> dict[str, float]:
    """Seconds and peak memory of one copy into a container of its own, all of whose bytes came."""
    container = container_client(ends.blob, ends.container)
    container.create_container()
    measured = _rclone(ends) if how == "rclone" else _child(how, ends, work)
    came = sum(blob.size for blob in container.list_blobs(f"{ends.folder}/") if _shown(blob.name))
    assert came == size, (how, came, size)
    container.delete_container()
    return measured


def _shown(name: str) -> bool:
    return "/_copyjob/" not in name


def _child(how: str, ends: Ends, work: Path) -> dict[str, float]:
    place = work / ends.container
    place.mkdir(exist_ok=True)
    (place / "ends.json").write_text(json.dumps(ends._asdict()), "utf-8")
    command = [sys.executable, "-m", "bench.file_copies", how, str(place)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, float] = json.loads(output)
    return measured


def _rclone(ends: Ends) -> dict[str, float]:
    signature = generate_container_sas(
        servers.Azurite.account,
        ends.container,
        account_key=servers.Azurite.key,
        permission=ContainerSasPermissions(read=True, write=True, list=True, create=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    settings = {
        "FROM_TYPE": "s3",
        "FROM_PROVIDER": "Other",
        "FROM_ENDPOINT": ends.s3,
        "FROM_ACCESS_KEY_ID": servers.LocalStack.access_key,
        "FROM_SECRET_ACCESS_KEY": servers.LocalStack.secret_key,
        "TO_TYPE": "azureblob",
        "TO_SAS_URL": f"{ends.blob}/{ends.container}?{signature}",
    }
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    environment |= {f"RCLONE_CONFIG_{name}": value for name, value in settings.items()}
    command = ["rclone", "copy", "--config=/dev/null", f"--transfers={THREADS}"]
    command += [f"from:{ends.bucket}/{ends.folder}", f"to:{ends.container}/{ends.folder}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment)
    return {"seconds": time.perf_counter() - start}


def _fill(localstack: servers.LocalStack, folder: str, count: int, size: int) -> None:
    """Puts objects into the bucket, and one elsewhere that goes before them."""
    s3, data = s3_client(localstack.endpoint), os.urandom(size)
    s3.create_bucket(Bucket=BUCKET)

    def put(number: int) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{number % 100:02}/{number:06}", Body=data)

    s3.put_object(Bucket=BUCKET, Key=f"{FEW}/one", Body=b"1")
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, range(count)))
    time.sleep(2)  # or the first to look at them would wait until their second is over


@contextmanager
def _servers() -> Iterator[tuple[servers.LocalStack, servers.Azurite, Path]]:
    with tempfile.TemporaryDirectory(prefix="copyjob-bench-") as folder:
        root = Path(folder, "servers")
        with servers.session(root):
            yield servers.localstack(root), servers.azurite(root), Path(folder)
