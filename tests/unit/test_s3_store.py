"""What S3 has of its own, on LocalStack; the rest is in the kit of all stores."""

from __future__ import annotations

import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from copy_core.connectors.file_options import S3Options
from copy_core.connectors.files.store import NOTHING, Properties
from copy_core.connectors.files.stores import s3_unfinished
from copy_core.connectors.files.stores.s3 import S3Store
from copy_core.errors import Cancelled, ConfigError, TerminalError, TransientError
from tests.ports import ports_of_ones_own
from tests.s3 import s3_client
from tests.servers import LocalStack
from tests.unit.s3_gate import Gate, Trouble, gate


@pytest.fixture(scope="module")
def raw(localstack: LocalStack) -> Any:
    """Boto3 itself, which also does what the store would not."""
    return s3_client(localstack.endpoint)


@pytest.fixture
def bucket(raw: Any) -> str:
    name = f"s3-{uuid.uuid4()}"
    raw.create_bucket(Bucket=name)
    return name


def opened(bucket: str, endpoint: str, prefix: str = "root") -> S3Store:
    return S3Store(
        S3Options.model_construct(  # not checked: these secrets are public
            type="s3",
            bucket=bucket,
            prefix=prefix,
            region="us-east-1",
            endpoint_url=endpoint,
            access_key_id="test",
            secret_access_key="test",
        )
    )


@pytest.fixture
def store(localstack: LocalStack, bucket: str) -> S3Store:
    return opened(bucket, localstack.endpoint)


@pytest.fixture
def troubled(localstack: LocalStack) -> Iterator[Gate]:
    with gate(localstack.endpoint) as found:
        yield found


class TestKeys:
    def test_a_key_may_have_1024_bytes(self, store: S3Store) -> None:
        key = "ü" * ((1024 - len("root/")) // 2)
        store.put(key, b"1")
        assert [entry.key for entry in store.list()] == [key]
        with pytest.raises(TerminalError, match="too long") as caught:
            store.put(key + "12", b"1")
        assert caught.value.code == "name-refused"

    def test_folders_are_not_objects(self, store: S3Store, raw: Any, bucket: str) -> None:
        for key in ("root/", "root/a/", "root/a/b/"):
            raw.put_object(Bucket=bucket, Key=key)
        store.put("a/b/c", b"1")
        assert [entry.key for entry in store.list()] == ["a/b/c"]

    @pytest.mark.parametrize("odd", ["../x", "a/../../x", "/x", "a//b", "./x"])
    def test_what_others_named_oddly_is_listed_but_not_touched(
        self, store: S3Store, raw: Any, bucket: str, odd: str
    ) -> None:
        raw.put_object(Bucket=bucket, Key=f"root/{odd}", Body=b"1")
        (entry,) = store.list()
        assert entry.key == odd
        with pytest.raises(ConfigError) as caught:
            store.read(entry, 0, 1)
        assert caught.value.code == "path-outside"

    @pytest.mark.parametrize("odd", ["a\x01b", "a\nb", "\t", "\x7f", "a\u2028b", "a\ufffeb"])
    def test_characters_that_do_not_print(self, store: S3Store, odd: str) -> None:
        for key in (odd, "a", "z"):
            store.put(key, b"1")
        (entry,) = [entry for entry in store.list() if entry.key not in "az"]
        assert store.read(entry, 0, 1) == b"1"
        store.move(entry.key, f"{odd} moved")
        store.remove([f"{odd} moved", "z"])
        assert [entry.key for entry in store.list()] == ["a"]

    def test_a_key_that_xml_cannot_say(self, troubled: Gate, bucket: str) -> None:
        """Amazon's answer is no XML then; LocalStack gives none."""
        store = opened(bucket, troubled.endpoint)
        store.put("a +%2Fb", b"1")
        store.put("z", b"1")
        page = "<ListBucketResult><Contents><Key>root/a&#x1;</Key></Contents></ListBucketResult>"
        trouble = Trouble("GET", times=3, status=200, body=page)  # boto3 itself asks three times
        troubled.trouble = trouble
        assert [entry.key for entry in store.list()] == ["a +%2Fb", "z"]
        assert trouble.times == 0

    def test_the_root_may_be_the_bucket(self, localstack: LocalStack, bucket: str) -> None:
        store = opened(bucket, localstack.endpoint, prefix="")
        store.put("a/x", b"1")
        assert store.label == f"s3://{bucket}"
        assert [entry.key for entry in store.list()] == ["a/x"]


class TestHolds:
    def test_stubs_of_folders_are_nothing(self, store: S3Store, raw: Any, bucket: str) -> None:
        for n in range(40):
            raw.put_object(Bucket=bucket, Key=f"root/a/{n:02}/")
        assert not store.holds("a/")
        store.put("a/99", b"1")
        assert store.holds("a/")

    def test_no_page_is_listed_for_one_object(self, troubled: Gate, bucket: str) -> None:
        store = opened(bucket, troubled.endpoint)
        for n in range(20):
            store.put(f"a/{n}", b"1")
        troubled.requests.clear()
        assert store.holds("a/")
        ((_, path),) = troubled.requests
        assert "max-keys=16" in path


class TestCopies:
    @pytest.fixture
    def store(self, store: S3Store) -> S3Store:
        """Stands for one whose objects are large."""
        store.whole_copy, store.copy_part = 6 << 20, 5 << 20
        return store

    def test_a_large_object_is_copied_in_parts(
        self, store: S3Store, localstack: LocalStack, bucket: str
    ) -> None:
        other = opened(bucket, localstack.endpoint, prefix="other")
        data = bytes(range(256)) * (1 << 12) * 11
        entry = other.put("x", data, properties=Properties(content_type="a/b"))
        given = Properties(content_type="c/d", metadata={"n": "ü"}, tags={"t": "1"})
        copied = store.copied(other, entry, "y", given)
        assert copied is not None
        assert copied.size == len(data)
        assert copied.etag.endswith("-3")
        assert store.read(copied, 0, len(data)) == data
        assert store.properties(copied) == given

    def test_a_large_object_is_moved_in_parts(self, store: S3Store) -> None:
        given = Properties(content_type="c/d", metadata={"n": "ü"}, tags={"t": "1"})
        data = bytes(7 << 20)
        store.put("x", data, properties=given)
        store.move("x", "y")
        (entry,) = store.list()
        assert entry.key == "y"
        assert store.read(entry, 0, len(data)) == data
        assert store.properties(entry) == given

    def test_a_large_object_that_changed_is_not_copied(
        self, store: S3Store, localstack: LocalStack, bucket: str
    ) -> None:
        other = opened(bucket, localstack.endpoint, prefix="other")
        entry = other.put("x", bytes(7 << 20))
        other.put("x", b"1" * (7 << 20))
        with pytest.raises(TransientError) as caught:
            store.copied(other, entry, "y", Properties())
        assert caught.value.code == "file-changed"
        assert caught.value.where["file"] == "x"
        assert list(store.list()) == []
        assert store.unfinished() is None

    def test_a_large_object_does_not_appear_where_it_must_not_any_more(
        self, store: S3Store, localstack: LocalStack, bucket: str
    ) -> None:
        other = opened(bucket, localstack.endpoint, prefix="other")
        entry = other.put("x", bytes(7 << 20))

        def stopped() -> None:
            raise Cancelled("the run was asked to stop")

        with pytest.raises(Cancelled):
            store.copied(other, entry, "y", Properties(), stopped)
        assert list(store.list()) == []
        assert store.unfinished() is None

    def test_another_service_cannot_copy(self, store: S3Store, troubled: Gate, bucket: str) -> None:
        other = opened(bucket, troubled.endpoint, prefix="other")
        assert store.copied(other, other.put("x", b"1"), "y", Properties()) is None

    def test_without_the_right_it_is_asked_once(self, troubled: Gate, bucket: str) -> None:
        store, other = (opened(bucket, troubled.endpoint, prefix=p) for p in ("root", "other"))
        entry = other.put("x", b"1")
        troubled.trouble = Trouble("PUT", status=403, code="AccessDenied")
        troubled.requests.clear()
        for key in "yz":
            assert store.copied(other, entry, key, Properties()) is None
        assert len(troubled.requests) == 1


class TestUnfinished:
    def test_nobody_waits_for_what_was_left_behind(
        self, store: S3Store, raw: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = raw.create_multipart_upload(Bucket=bucket, Key="root/a/x")
        assert store.unfinished("a/") is not None
        tomorrow = datetime.fromtimestamp(time.time() + 86_500, UTC)

        def begun() -> datetime | None:
            return s3_unfinished.oldest(raw, bucket, "root/", tomorrow)

        assert begun() is None
        monkeypatch.setattr(s3_unfinished, "IDLE", s3_unfinished.IDLE * 2)
        raw.upload_part(
            Bucket=bucket, Key="root/a/x", UploadId=made["UploadId"], PartNumber=1, Body=b"1"
        )
        assert begun() is not None

    def test_the_right_to_see_them_is_named(self, troubled: Gate, bucket: str) -> None:
        troubled.trouble = Trouble("GET", path="uploads", status=403, code="AccessDenied")
        with pytest.raises(ConfigError, match="s3:ListBucketMultipartUploads") as caught:
            opened(bucket, troubled.endpoint).unfinished()
        assert caught.value.code == "no-right"

    def test_nothing_stays_below_the_bucket(self, store: S3Store, raw: Any, bucket: str) -> None:
        upload = store.upload("x")
        upload.put(0, bytes(upload.part_bytes))
        upload.put(1, b"1")
        assert "Uploads" in raw.list_multipart_uploads(Bucket=bucket)
        upload.abandon()
        assert "Uploads" not in raw.list_multipart_uploads(Bucket=bucket)
        with pytest.raises(TransientError) as caught:
            upload.put(2, b"1")
        assert caught.value.code == "upload-lost"


class TestTrouble:
    @pytest.fixture
    def store(self, troubled: Gate, bucket: str) -> S3Store:
        return opened(bucket, troubled.endpoint)

    def test_an_answer_that_breaks_off_is_asked_for_again(
        self, store: S3Store, troubled: Gate
    ) -> None:
        data = bytes(range(256)) * 4096
        entry = store.put("x", data)
        troubled.trouble = Trouble("GET", times=2, cut=1000)
        assert store.read(entry, 1, len(data) - 1) == data[1:]
        assert troubled.trouble.times == 0

    def test_one_that_always_breaks_off_is_given_up(self, store: S3Store, troubled: Gate) -> None:
        entry = store.put("x", bytes(100_000))
        troubled.trouble = Trouble("GET", cut=1000)
        with pytest.raises(TransientError) as caught:
            store.read(entry, 0, 100_000)
        assert caught.value.code in ("unreachable", "short-read")
        assert caught.value.where["file"] == "x"

    def test_a_busy_service_is_asked_again(self, store: S3Store, troubled: Gate) -> None:
        troubled.trouble = Trouble("PUT", times=2, status=503, code="SlowDown")
        store.put("x", b"1")
        assert [entry.key for entry in store.list()] == ["x"]

    def test_it_says_when_to_come_back(self, store: S3Store, troubled: Gate) -> None:
        troubled.trouble = Trouble(
            "GET", status=503, code="SlowDown", headers={"Retry-After": "17"}
        )
        with pytest.raises(TransientError) as caught:
            list(store.list())
        assert (caught.value.code, caught.value.retry_after) == ("store-busy", 17.0)

    def test_a_put_that_others_get_in_the_way_of_is_made_again(
        self, store: S3Store, troubled: Gate
    ) -> None:
        trouble = Trouble("PUT", times=2, status=409, code="ConditionalRequestConflict")
        troubled.trouble = trouble
        store.put("x", b"1", NOTHING)
        assert trouble.times == 0

    def test_a_service_without_conditional_puts(self, store: S3Store, troubled: Gate) -> None:
        troubled.trouble = Trouble("PUT", status=501, code="NotImplemented")
        with pytest.raises(ConfigError) as caught:
            store.put("x", b"1", NOTHING)
        assert caught.value.code == "not-supported"

    @pytest.mark.parametrize("code", ["NotImplemented", "MissingContentMD5", "MalformedXML"])
    def test_a_service_that_removes_one_by_one(
        self, store: S3Store, troubled: Gate, code: str
    ) -> None:
        for key in "abc":
            store.put(key, b"1")
        troubled.trouble = Trouble("POST", status=400, code=code)
        store.remove(["a", "b"])
        assert [entry.key for entry in store.list()] == ["c"]

    @pytest.mark.parametrize(
        ("use", "right"),
        [
            (lambda store: list(store.list()), "s3:ListBucket"),
            (lambda store: store.put("x", b"1"), "s3:PutObject"),
            (lambda store: store.remove(["x"]), "s3:DeleteObject"),
            (lambda store: store.remove(["x", "y"]), "s3:DeleteObject"),
        ],
    )
    def test_a_missing_right_is_named(
        self, store: S3Store, troubled: Gate, use: Callable[[S3Store], object], right: str
    ) -> None:
        troubled.trouble = Trouble("GET PUT POST DELETE", status=403, code="AccessDenied")
        with pytest.raises(ConfigError, match=right) as caught:
            use(store)
        assert caught.value.code == "no-right"

    def test_what_head_does_not_say_is_found_out(self, store: S3Store, troubled: Gate) -> None:
        """An answer to HEAD has no body, and so no code."""
        troubled.trouble = Trouble("HEAD GET", status=400, code="ExpiredToken")
        with pytest.raises(ConfigError, match="expired") as caught:
            store.stat("x")
        assert caught.value.code == "login-failed"

    def test_a_service_that_overlooks_conditions(self, store: S3Store, troubled: Gate) -> None:
        entry = store.put("x", b"1")
        troubled.trouble = Trouble(
            "GET", status=206, headers={"ETag": '"another"'}, body="2", path="/x"
        )
        with pytest.raises(TransientError) as caught:
            store.read(entry, 0, 1)
        assert caught.value.code == "file-changed"

    def test_a_service_that_overlooks_ranges(self, store: S3Store, troubled: Gate) -> None:
        entry = store.put("x", b"12")
        etag = f'"{entry.etag}"'
        troubled.trouble = Trouble("GET", status=200, headers={"ETag": etag}, body="12", path="/x")
        with pytest.raises(TransientError) as caught:
            store.read(entry, 0, 1)
        assert caught.value.code == "short-read"

    def test_a_service_without_order(self, store: S3Store, troubled: Gate) -> None:
        found = "".join(
            f"<Contents><Key>root/{key}</Key><Size>1</Size><ETag>1</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in "acb"
        )
        page = f"<ListBucketResult>{found}</ListBucketResult>"
        troubled.trouble = Trouble("GET", status=200, body=page)
        with pytest.raises(TerminalError) as caught:
            list(store.list())
        assert (caught.value.code, caught.value.where["file"]) == ("unordered", "b")

    def test_nobody_there(self, bucket: str) -> None:
        with ports_of_ones_own(1) as [port], pytest.raises(TransientError) as caught:
            opened(bucket, f"http://127.0.0.1:{port}").stat("x")
        assert caught.value.code == "unreachable"


class TestAddresses:
    def test_whoever_has_one_may_read_for_a_while(self, store: S3Store) -> None:
        entry = store.put("Größe +%2F", b"12345")
        with urllib.request.urlopen(store.signed_url(entry, 60)) as answer:
            assert answer.read() == b"12345"
