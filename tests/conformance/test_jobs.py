"""The stores of job files, by the kit; and what each has of its own."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import BlobBlock, ContainerClient

from copy_core.errors import ConfigError, ConflictError, TransientError
from copy_core.service.jobs import JobStore
from copy_core.service.jobs_blob import BlobJobs
from copy_core.service.jobs_folder import FolderJobs
from copy_core.service.jobs_registry import open_jobs
from tests.conformance.jobs_kit import TEXT, JobsKit, Place, wins
from tests.conformance.table_gate import Gate, gate
from tests.servers import Azurite

_ROOT = Path(__file__).parents[2]
_WRITER = """
import sys
from copy_core.service.jobs_folder import FolderJobs
jobs = FolderJobs(sys.argv[1])
document = jobs.get("shop")
n = 0
while True:
    n += 1
    document = jobs.put("shop", f"{n}\\n" * 20_000, document.etag)
    print(n, flush=True)
"""


class _Folder(Place):
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def open(self) -> JobStore:
        return FolderJobs(self.path)

    def write(self, file: str, content: bytes) -> None:
        path = self.path / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def remove(self, file: str) -> None:
        (self.path / file).unlink()

    def files(self) -> dict[str, bytes]:
        found = [p for p in self.path.rglob("*") if p.is_file() and p.name != ".copyjob.lock"]
        return {p.relative_to(self.path).as_posix(): p.read_bytes() for p in found}


def _changes_in_process(folder: str, text: str, etag: str, start: float) -> bool:
    time.sleep(max(0.0, start - time.time()))
    return wins(lambda: FolderJobs(folder).put("shop", text, etag))


class TestFolder(JobsKit):
    @pytest.fixture
    def place(self, tmp_path: Path) -> _Folder:
        return _Folder(tmp_path / "a folder")

    def test_one_of_many_processes_changes_a_document(
        self, store: JobStore, place: _Folder
    ) -> None:
        racers = 8
        etag = store.put("shop", "before", None).etag
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(racers, mp_context=spawn) as pool:
            list(pool.map(time.sleep, [0.2] * racers))  # all of them have started
            start = time.time() + 0.2
            changes = [
                pool.submit(_changes_in_process, str(place.path), f"{n}", etag, start)
                for n in range(racers)
            ]
            won = [n for n, change in enumerate(changes) if change.result()]
        assert len(won) == 1
        assert place.files() == {"shop.yaml": f"{won[0]}".encode()}

    def test_kill_9_leaves_a_whole_document_and_no_lock(
        self, store: JobStore, place: _Folder
    ) -> None:
        store.put("shop", "0\n", None)
        for _ in range(3):
            writer = subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(place.path)],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert writer.stdout is not None
            with writer.stdout as said:
                acknowledged = [said.readline() for _ in range(10)]
                writer.kill()
                acknowledged += said.readlines()
            writer.wait()
            found = store.get("shop")
            assert found is not None
            lines = found.text.split()
            assert set(lines) == {lines[0]}
            assert len(lines) == 20_000
            assert int(lines[0]) >= int(acknowledged[-1])
            assert list(store.list()) == ["shop"]
            store.put("shop", "0\n", found.etag)
        assert set(place.files()) == {"shop.yaml"}

    @pytest.mark.parametrize("file", [True, False])
    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path, *, file: bool) -> None:
        folder = tmp_path / "jobs"
        if file:
            folder.write_text("")
        store = FolderJobs(folder)
        for act in (
            store.list,
            lambda: store.get("shop"),
            store.connections,
            lambda: store.put("shop", "", None),
            lambda: store.delete("shop", ""),
        ):
            with pytest.raises(ConfigError) as refused:
                act()
            assert refused.value.code == "jobs-missing"
            assert refused.value.where == {"file": str(folder)}

    def test_a_link_that_leads_nowhere_is_no_job(self, store: JobStore, place: _Folder) -> None:
        (place.path / "shop.yaml").symlink_to(place.path / "gone.yaml")
        assert store.list() == {}
        assert store.get("shop") is None

    def test_a_file_that_cannot_be_read_does_not_hide_the_others(
        self, store: JobStore, place: _Folder
    ) -> None:
        (place.path / "loop.yaml").symlink_to(place.path / "loop.yaml")
        place.write("shop.yaml", b"{}")
        assert list(store.list()) == ["loop", "shop"]
        assert store.get("shop") is not None
        with pytest.raises(Exception, match="symbolic links") as refused:
            store.get("loop")
        assert refused.type.__module__ == "copy_core.errors"


class _Container(Place):
    def __init__(self, azurite: Azurite, container: str, prefix: str) -> None:
        self.connection = azurite.connection_string
        self.container = container
        self.prefix = prefix

    def open(self) -> BlobJobs:
        return BlobJobs.from_connection_string(self.connection, self.container, self.prefix)

    def client(self) -> ContainerClient:
        return ContainerClient.from_connection_string(self.connection, self.container)

    def write(self, file: str, content: bytes) -> None:
        self.open().list()
        with self.client() as client:
            client.upload_blob(self._start + file, content, overwrite=True)

    def remove(self, file: str) -> None:
        with self.client() as client:
            client.delete_blob(self._start + file)

    def files(self) -> dict[str, bytes]:
        with self.client() as client:
            names = list(client.list_blob_names(name_starts_with=self._start))
            return {n.removeprefix(self._start): client.download_blob(n).readall() for n in names}

    @property
    def _start(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""


class TestBlob(JobsKit):
    @pytest.fixture(params=["", "a/jobs"])
    def place(self, azurite: Azurite, request: pytest.FixtureRequest) -> _Container:
        return _Container(azurite, f"jobs-{uuid4().hex}", request.param)

    @pytest.fixture
    def behind(self, azurite: Azurite) -> Iterator[Gate]:
        with gate(azurite.blob_endpoint) as server:
            yield server

    @pytest.fixture
    def gated(self, azurite: Azurite, behind: Gate, place: _Container) -> Iterator[BlobJobs]:
        connection = azurite.connection_string.replace(
            azurite.blob_endpoint, f"http://127.0.0.1:{behind.server_port}/{azurite.account}"
        )
        store = BlobJobs.from_connection_string(connection, place.container, place.prefix)
        yield store
        store.close()

    def test_what_is_beside_the_prefix_is_not_seen(
        self, store: JobStore, azurite: Azurite, place: _Container
    ) -> None:
        beside = _Container(azurite, place.container, f"{place.prefix or 'a'}-2")
        beside.write("other.yaml", b"{}")
        store.put("shop", TEXT, None)
        assert list(store.list()) == ["shop"]
        assert store.get("other") is None
        assert list(beside.open().list()) == ["other"]

    def test_a_lost_answer_is_no_conflict(self, gated: BlobJobs, behind: Gate) -> None:
        gated.list()
        behind.lose = 1
        first = gated.put("shop", "one", None)
        assert behind.lose == 0
        assert gated.get("shop") == first
        behind.lose = 1
        second = gated.put("shop", "two", first.etag)
        assert gated.get("shop") == second
        with pytest.raises(ConflictError):
            gated.put("shop", "two", first.etag)

    def test_a_current_document_is_not_transferred(self, gated: BlobJobs, behind: Gate) -> None:
        known = gated.put("shop", TEXT, None)
        behind.answers.clear()
        assert gated.get("shop", known) is known
        assert behind.answers == [(304, 0)]

    @pytest.mark.parametrize(
        ("status", "asked", "seconds"), [(429, "7", 7.0), (503, "12", 12.0), (500, "soon", None)]
    )
    def test_a_busy_service_says_when_to_come_back(
        self, gated: BlobJobs, behind: Gate, status: int, asked: str, seconds: float | None
    ) -> None:
        known = gated.put("shop", TEXT, None)
        behind.refusal = (status, {"Retry-After": asked})
        for act in (
            gated.list,
            lambda: gated.get("shop"),
            lambda: gated.get("shop", known),
            gated.connections,
            lambda: gated.put("shop", "two", known.etag),
            lambda: gated.delete("shop", known.etag),
        ):
            with pytest.raises(TransientError) as busy:
                act()
            assert busy.value.retry_after == seconds
            assert busy.value.code == "jobs-unreachable"
        behind.refusal = None
        assert gated.get("shop") == known

    def test_a_wrong_key_is_for_the_operator_to_correct(
        self, azurite: Azurite, place: _Container
    ) -> None:
        connection = azurite.connection_string.replace("AccountKey=", "AccountKey=AAAA")
        store = BlobJobs.from_connection_string(connection, place.container)
        for act in (store.list, lambda: store.get("a"), lambda: store.put("a", "", None)):
            with pytest.raises(ConfigError) as refused:
                act()
            assert refused.value.where["jobs"] == f"{azurite.account}/{place.container}"
            assert "Storage Blob Data Contributor" in refused.value.fix
        store.close()

    def test_a_service_that_is_away_may_come_back(self, azurite: Azurite) -> None:
        connection = azurite.connection_string.replace(f":{azurite.blob_port}/", ":1/")
        store = BlobJobs.from_connection_string(connection)
        with pytest.raises(TransientError):
            store.list()
        store.close()

    def test_the_container_is_made_by_whoever_is_first(self, place: _Container) -> None:
        one, two = place.open(), place.open()
        assert one.get("shop") is None
        assert two.put("shop", TEXT, None) == one.get("shop")
        one.close()
        two.close()

    def test_a_blob_that_is_being_uploaded_is_not_there_yet(
        self, store: JobStore, place: _Container
    ) -> None:
        store.list()
        with place.client() as client:
            name = f"{place.prefix}/shop.yaml".removeprefix("/")
            blob = client.get_blob_client(name)
            blob.stage_block("MDE=", TEXT.encode())
            assert store.list() == {}
            assert store.get("shop") is None
            blob.commit_block_list([BlobBlock("MDE=")])
        found = store.get("shop")
        assert found is not None
        assert found.text == TEXT

    def test_jobs_are_opened_by_reference_to_their_secret(
        self, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, place: _Container
    ) -> None:
        monkeypatch.setenv("STORAGE_CONNECTION", azurite.connection_string)
        below = f"/{place.prefix}" if place.prefix else ""
        store = open_jobs(f"blobs:${{env:STORAGE_CONNECTION}}/{place.container}{below}")
        store.put("shop", TEXT, None)
        assert list(place.files()) == ["shop.yaml"]
        assert azurite.key not in str(TransientError(f"signed with {azurite.key}"))
        store.close()


class TestOpenJobs:
    @pytest.mark.parametrize("url", ["jobs", "./jobs", "a folder/jobs"])
    def test_a_path_is_a_folder(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path(url).mkdir(parents=True)
        open_jobs(url).put("shop", TEXT, None)
        assert (tmp_path / url / "shop.yaml").is_file()

    @pytest.mark.parametrize(
        ("below", "place"),
        [
            ("", "copyjob-jobs/"),
            ("/", "copyjob-jobs/"),
            ("/shop-jobs", "shop-jobs/"),
            ("/shop-jobs/", "shop-jobs/"),
            ("/shop-jobs/nightly/v1.2/", "shop-jobs/nightly/v1.2/"),
        ],
    )
    @pytest.mark.parametrize("start", ["https://shop.blob.core.windows.net", "blobs:${env:STORE}"])
    def test_a_container_is_opened(
        self, start: str, below: str, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "STORE", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=c2VjcmV0"
        )
        store = open_jobs(start + below)
        assert isinstance(store, BlobJobs)
        assert store.address == f"shop/{place}".rstrip("/")
        store.close()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "s3://bucket/jobs",
            "https://example.com/jobs",
            "https://shop.table.core.windows.net/jobs",
            "https://shop.blob.core.windows.net/Jobs",
            "https://shop.blob.core.windows.net/my--jobs",
            "https://shop.blob.core.windows.net/jo",
            "https://shop.blob.core.windows.net/jobs/../other",
            "https://shop.blob.core.windows.net/jobs?sig=c2VjcmV0",
            "https://shop.blob.core.windows.net@example.com/jobs",
            "http://shop.blob.core.windows.net/jobs",
            "blobs:",
            "blobs:DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=c2VjcmV0",
            "blobs:${env:NAME};AccountKey=c2VjcmV0",
            "blobs:${env:NOT_SET}",
        ],
    )
    def test_anything_else_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(ConfigError) as refused:
            open_jobs(url)
        assert refused.value.fix
        assert "c2VjcmV0" not in str(refused.value)

    def test_a_wrong_connection_string_is_not_repeated(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORAGE_CONNECTION", "AccountKey:c2VjcmV0")
        with pytest.raises(ConfigError) as refused:
            open_jobs("blobs:${env:STORAGE_CONNECTION}")
        assert "c2VjcmV0" not in str(refused.value)
