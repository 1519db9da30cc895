"""The catalog: jobs read from a store, checked, and kept while they do not change."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from copy_core.connectors.options import MemoryOptions, SqliteOptions
from copy_core.errors import ConfigError, ConflictError
from copy_core.jobfile import JobFileError, Loaded, load
from copy_core.service.catalog import Catalog, open_catalog
from copy_core.service.jobs_blob import BlobJobs
from copy_core.service.jobs_folder import FolderJobs
from copy_core.service.settings import Settings
from tests.servers import Azurite

CONNECTIONS = """\
connections:
  shop: {type: sqlite, path: shop.db}
  lake: {type: memory}
"""
OPERATOR = "the service's operator defines connections, and a job names them"


def job(name: str = "shop", **more: str) -> str:
    lines = {"name": name, "source": "shop", "destination": "lake", "tables": "[{source: orders}]"}
    return "".join(f"{key}: {value}\n" for key, value in (lines | more).items())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connections.yaml").write_text(CONNECTIONS)
    return tmp_path


@pytest.fixture
def catalog(folder: Path) -> Catalog:
    return Catalog(FolderJobs(folder))


def refused(act: Callable[[], Any], code: str = "job-file") -> list[str]:
    """The problems that something is refused for."""
    with pytest.raises(JobFileError) as caught:
        act()
    assert caught.value.code == code
    return [str(problem) for problem in caught.value.problems]


# Loading


def test_a_job_loads_with_the_connections_beside_it(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job())
    loaded = catalog.load("shop")
    assert loaded == load(folder / "shop.yaml")
    assert loaded.connections["shop"] == SqliteOptions(type="sqlite", path=str(folder / "shop.db"))
    assert catalog.names() == ["shop"]
    assert catalog.document("shop").text == job()


def test_json_is_a_job_too(catalog: Catalog, folder: Path) -> None:
    text = (
        '{"name": "shop", "source": "shop", "destination": "lake",\n\t"tables": [{"source": "%s"}]}'
    )
    for file, table in (("shop.json", "a"), ("shop.yaml", "\\ud83d\\ude80")):
        (folder / file).write_text(text % table)
        assert catalog.load("shop") == load(folder / file)
        (folder / file).unlink()


def test_the_operator_may_name_a_file_with_connections(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    elsewhere = tmp_path / "far" / "all.yaml"
    elsewhere.write_text(CONNECTIONS.replace("lake", "pond"))
    (folder / "shop.yaml").write_text(job(destination="pond"))
    catalog = open_catalog(Settings(str(folder), "", connections=str(elsewhere)))
    found = catalog.load("shop").connections
    assert list(found) == ["shop", "pond"] == list(catalog.connections())
    assert found["shop"] == SqliteOptions(type="sqlite", path=str(tmp_path / "far" / "shop.db"))
    elsewhere.write_text(CONNECTIONS)
    assert refused(lambda: catalog.load("shop")) == [
        "shop.yaml:3:14: destination: there is no connection 'pond'; known: lake, shop"
    ]
    elsewhere.unlink()
    with pytest.raises(ConfigError, match="there is no such file with connections") as missing:
        catalog.load("shop")
    assert missing.value.where == {"file": str(elsewhere)}
    assert "COPYJOB_CONNECTIONS" in missing.value.fix


def test_a_job_written_by_the_operator_may_define_connections(
    catalog: Catalog, folder: Path
) -> None:
    (folder / "shop.yaml").write_text(
        job(source="own", connections="{own: {type: sqlite, path: own.db}}")
    )
    loaded = catalog.load("shop")
    assert loaded.connections["own"] == SqliteOptions(type="sqlite", path=str(folder / "own.db"))
    assert set(catalog.connections()) == {"shop", "lake"}


def test_without_connections_nothing_is_known(folder: Path, catalog: Catalog) -> None:
    (folder / "connections.yaml").unlink()
    assert catalog.connections() == {}
    (folder / "shop.yaml").write_text(job())
    assert len(refused(lambda: catalog.load("shop"))) == 2


def test_an_unknown_job_is_told_with_the_nearest(catalog: Catalog, folder: Path) -> None:
    (folder / "nightly.yaml").write_text(job("nightly"))
    for name, fix in (("nigthly", "Did you mean 'nightly'?"), ("../x", "Look for a mistyped name")):
        with pytest.raises(ConfigError) as unknown:
            catalog.load(name)
        assert (unknown.value.code, unknown.value.fix) == ("job-unknown", fix)


def test_a_job_of_another_name_than_its_file(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job("store"))
    what = "shop.yaml:1:7: name: must be 'shop', the name that the job is kept under"
    assert refused(lambda: catalog.load("shop"), "job-name") == [what]
    assert refused(lambda: catalog.check("shop", job("store")), "job-name") == [what]
    assert refused(lambda: catalog.check("shop", job("store", mode="fool")))[0] == what


@pytest.mark.parametrize("length", [0, 1, 30, 60])
def test_a_half_written_job_is_told_with_its_file(
    catalog: Catalog, folder: Path, length: int
) -> None:
    (folder / "shop.yaml").write_text(job()[:length])
    assert all(p.startswith("shop.yaml") for p in refused(lambda: catalog.load("shop")))
    (folder / "shop.yaml").write_bytes(job().encode() + b"# \xe2\x82")
    assert refused(lambda: catalog.load("shop")) == [
        "shop.yaml:5:1: the file is not UTF-8; save it as UTF-8"
    ]


def test_wrong_connections_are_told_with_their_file(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job())
    (folder / "connections.yaml").write_text(CONNECTIONS.replace("memory", "memroy"))
    problem = (
        "connections.yaml:3:16: connections.lake.type: there is no such type of connection;"
        " did you mean 'memory'?"
    )
    for act in (
        lambda: catalog.load("shop"),
        lambda: catalog.load("shop"),
        catalog.connections,
        lambda: catalog.check("shop", job()),
    ):
        assert refused(act) == [problem]


def test_one_name_in_two_files_is_no_problem_of_other_jobs(catalog: Catalog, folder: Path) -> None:
    (folder / "bad.yaml").write_text(job("bad", connections="{lake: {type: memory}}"))
    (folder / "good.yaml").write_text(job("good"))
    assert (
        "there is a connection of this name in bad.yaml" in refused(lambda: catalog.load("bad"))[0]
    )
    assert catalog.load("good").job.name == "good"
    assert set(catalog.connections()) == {"shop", "lake"}


# All jobs


def test_a_broken_job_does_not_stop_the_others(catalog: Catalog, folder: Path) -> None:
    for name in "abdf":
        (folder / f"{name}.yaml").write_text(job(name))
    (folder / "c.yaml").write_bytes(b"\xff")
    (folder / "b.yaml").write_text("[")
    (folder / "d.yaml").write_text(job("x"))
    (folder / "e.yaml").symlink_to(folder / "e.yaml")
    (folder / "f.json").write_text("{}")
    for _ in range(2):
        found = dict(catalog.loaded())
        codes = {name: getattr(one, "code", "loaded") for name, one in found.items()}
        assert list(codes) == list("abcdef")
        assert codes.pop("e") in {"not-permitted", "os-error"}
        assert codes == {
            "a": "loaded", "b": "job-file", "c": "job-file", "d": "job-name", "f": "job-twice",
        }  # fmt: skip


def test_many_jobs_load(catalog: Catalog, folder: Path) -> None:
    for n in range(300):
        (folder / f"j{n:03}.yaml").write_text(job(f"j{n:03}"))
    found = list(catalog.loaded())
    assert [name for name, _ in found] == [f"j{n:03}" for n in range(300)]
    assert all(isinstance(one, Loaded) for _, one in found)


def test_all_jobs_of_an_unreadable_place(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        list(Catalog(FolderJobs(folder / "gone")).loaded())


def test_connections_that_cannot_be_read_stop_each_job(catalog: Catalog, folder: Path) -> None:
    (folder / "a.yaml").write_text(job("a"))
    (folder / "connections.json").write_text("{}")
    [(name, error)] = catalog.loaded()
    assert name == "a"
    assert isinstance(error, ConfigError)
    assert "connections.json and connections.yaml" in str(error)


# What is known


def test_a_job_is_read_again_only_when_it_changed(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job())
    (folder / "other.yaml").write_text(job("other"))
    first = catalog.load("shop")
    assert catalog.load("shop") is first
    assert dict(catalog.loaded())["shop"] is first
    (folder / "shop.yaml").write_text(job(mode="full", write="overwrite"))
    second = catalog.load("shop")
    assert second.job.tables[0].write == "overwrite"
    assert dict(catalog.loaded())["shop"] is second is catalog.load("shop")


def test_jobs_are_read_again_when_the_connections_changed(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job())
    catalog.load("shop")
    (folder / "connections.yaml").write_text(CONNECTIONS.replace("sqlite, path: shop.db", "memory"))
    assert catalog.load("shop").connections["shop"] == MemoryOptions(type="memory")
    (folder / "connections.yaml").write_text("connections: {lake: {type: memory}}")
    assert isinstance(dict(catalog.loaded())["shop"], JobFileError)
    (folder / "connections.yaml").unlink()
    (folder / "connections.yml").write_text(CONNECTIONS)
    assert set(catalog.load("shop").connections) == {"shop", "lake"}


def test_a_second_file_of_a_job_is_seen_once_the_jobs_are_listed(
    catalog: Catalog, folder: Path
) -> None:
    (folder / "shop.yaml").write_text(job())
    catalog.load("shop")
    (folder / "shop.json").write_text("{}")
    list(catalog.loaded())
    with pytest.raises(ConfigError, match=r"shop\.json and shop\.yaml"):
        catalog.load("shop")


def test_a_removed_job_is_unknown(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.yaml").write_text(job())
    catalog.load("shop")
    (folder / "shop.yaml").unlink()
    assert list(catalog.loaded()) == []
    with pytest.raises(ConfigError, match="there is no job 'shop'"):
        catalog.load("shop")


def test_threads_always_see_a_whole_job(catalog: Catalog) -> None:
    catalog.put("shop", job(), None)

    def look(n: int) -> bool:
        if n % 10 == 0:
            text = job(tables=f"[{{source: t{n}}}]")
            catalog.put("shop", text, catalog.document("shop").etag)
        if n % 7 == 0:
            list(catalog.loaded())
        loaded = catalog.load("shop")
        return loaded.job.name == "shop" and set(loaded.connections) == {"shop", "lake"}

    catalog.put("shop", job(tables="[{source: t}]"), catalog.document("shop").etag)
    with ThreadPoolExecutor(8) as pool:
        writers = pool.submit(lambda: [look(n) for n in range(0, 300, 10)])
        readers = [pool.submit(look, n) for n in range(300) if n % 10]
        assert all(writers.result())
        assert all(reader.result() for reader in readers)
    assert catalog.load("shop").job.tables[0].source == "t290"


# What is sent


def test_a_sent_job_is_checked_and_written(catalog: Catalog, folder: Path) -> None:
    made = catalog.put("shop", job(), None)
    assert (folder / "shop.yaml").read_text() == job() == made.text
    assert catalog.load("shop").job == catalog.check("shop", job()).job
    with pytest.raises(ConflictError):
        catalog.put("shop", job(), None)
    changed = catalog.put("shop", job(mode="full"), made.etag)
    with pytest.raises(ConflictError):
        catalog.delete("shop", made.etag)
    catalog.delete("shop", changed.etag)
    assert catalog.names() == []


@pytest.mark.parametrize(
    "connections", ["{own: {type: memory}}", "{}", "", "{own: {type: nonsense}}"]
)
def test_a_sent_job_may_not_define_connections(
    catalog: Catalog, folder: Path, connections: str
) -> None:
    text = job(source="own", connections=connections)
    problems = [
        f"shop.yaml:2:9: source: there is no connection 'own'; {OPERATOR}; known: lake, shop",
        f"shop.yaml:5:1: connections: a job that is sent may not define any; {OPERATOR}",
    ]
    assert refused(lambda: catalog.check("shop", text))[:2] == problems
    assert refused(lambda: catalog.put("shop", text, None))[:2] == problems
    assert not (folder / "shop.yaml").exists()


def test_a_sent_job_that_names_an_unknown_connection(catalog: Catalog, folder: Path) -> None:
    [problem] = refused(lambda: catalog.put("shop", job(destination="lakes"), None))
    what = "shop.yaml:3:14: destination: there is no connection 'lakes'"
    assert problem == f"{what}; {OPERATOR}; did you mean 'lake'?"
    (folder / "connections.yaml").unlink()
    assert refused(lambda: catalog.check("shop", job()))[0].endswith(f"'shop'; {OPERATOR}")


@pytest.mark.parametrize("name", ["connections", "../shop", "", "a b"])
def test_a_job_of_no_name(catalog: Catalog, folder: Path, name: str) -> None:
    for act in (
        lambda: catalog.check(name, job()),
        lambda: catalog.put(name, job(), None),
    ):
        with pytest.raises(ConfigError) as bad:
            act()
        assert bad.value.code == "job-name"
    assert [p.name for p in folder.iterdir()] == ["connections.yaml"]


@pytest.mark.parametrize("text", ["", "name: \ud800", "{", "\0", "- a", '{"name": "\\ud800"}'])
def test_what_is_no_job_is_refused(catalog: Catalog, text: str) -> None:
    assert refused(lambda: catalog.put("shop", text, None))
    assert catalog.names() == []


def test_a_job_kept_as_json_stays_json(catalog: Catalog, folder: Path) -> None:
    (folder / "shop.json").write_text('{"no": "job"}')
    etag = catalog.document("shop").etag
    assert refused(lambda: catalog.put("shop", job(), etag)) == [
        "shop.json:1:1: not valid JSON: Expecting value"
    ]
    text = '{"name": "shop", "source": "shop", "destination": "lake", "tables": [{"source": "a"}]}'
    catalog.put("shop", text, etag)
    assert (folder / "shop.json").read_text() == text
    assert catalog.load("shop").job.tables[0].source == "a"


# In a container


def test_jobs_and_connections_of_a_container(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_CONNECTION", azurite.connection_string)
    container = f"jobs-{uuid4().hex}"
    catalog = open_catalog(Settings(f"blobs:${{env:STORAGE_CONNECTION}}/{container}", ""))
    assert catalog.names() == []
    assert catalog.connections() == {}
    jobs = BlobJobs.from_connection_string(azurite.connection_string, container)
    client = jobs._client
    client.upload_blob("connections.yaml", CONNECTIONS.replace("shop.db", "/data/shop.db"))
    catalog.put("shop", job(), None)
    loaded = catalog.load("shop")
    assert loaded.connections["shop"] == SqliteOptions(type="sqlite", path="/data/shop.db")
    assert catalog.load("shop") is loaded
    client.upload_blob("torn.yaml", job("torn").encode()[:30] + b"\xe2\x82")
    found = dict(catalog.loaded())
    assert found["shop"] is loaded
    assert str(found["torn"]).startswith("torn.yaml:3:1: the file is not UTF-8")
    jobs.close()
    catalog.close()
