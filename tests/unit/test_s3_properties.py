"""What S3 keeps beside an object's bytes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_core.connectors.files.store import Properties
from copy_core.connectors.files.stores.s3_properties import from_answer, to_request

# What a header cannot have at all, encoded or not, is no text of metadata anywhere.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
words = texts | st.from_regex(r"=\?[\w-]{1,10}\?[bBqQ]\?[^?]*\?=")


def head(**others: Any) -> dict[str, Any]:
    return {"ETag": '"900150983cd24fb0d6963f7d28e17f72"', "Metadata": {}, **others}


@given(st.dictionaries(st.sampled_from(["a", "b", "c-d"]), words))
def test_metadata_comes_back_as_it_went(metadata: dict[str, str]) -> None:
    sent = to_request(Properties(metadata=metadata)).get("Metadata", {})
    for value in sent.values():
        assert value.isascii()
        assert value == value.strip()
        assert value.isprintable()
    assert from_answer(head(Metadata=sent), {}).metadata == metadata


@pytest.mark.parametrize("value", ["", "plain text", "a=b?c", "=?", "=?utf-8?x?y?=", "=?a b?="])
def test_plain_text_goes_as_it_is(value: str) -> None:
    assert to_request(Properties(metadata={"a": value})).get("Metadata") == {"a": value}


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("=?UTF-8?B?R3LDtsOfZQ==?=", "Größe"),
        ("=?utf-8?Q?Gr=C3=B6=C3=9Fe?=", "Größe"),
        ("=?UTF-8?B?R3LDtg==?= =?UTF-8?B?w59l?=", "Größe"),
        ("=?no-such?B?R3LDtg==?=", "=?no-such?B?R3LDtg==?="),
        ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="),
    ],
)
def test_what_others_encoded_is_read(stored: str, text: str) -> None:
    assert from_answer(head(Metadata={"a": stored}), {}).metadata == {"a": text}


@given(st.dictionaries(texts.filter(bool), texts))
def test_tags_are_a_query(tags: dict[str, str]) -> None:
    request = to_request(Properties(tags=tags))
    assert dict(parse_qsl(request.get("Tagging", ""), keep_blank_values=True)) == tags


def test_nothing_is_asked_for_nothing() -> None:
    assert to_request(Properties()) == {}


def test_the_type_of_an_object_without_one_is_none() -> None:
    assert from_answer(head(ContentType="binary/octet-stream"), {}).content_type == ""


@pytest.mark.parametrize(
    ("others", "known"),
    [
        ({}, True),
        ({"ServerSideEncryption": "AES256"}, True),
        ({"ServerSideEncryption": "aws:kms"}, False),
        ({"ServerSideEncryption": "aws:kms:dsse"}, False),
        ({"SSECustomerAlgorithm": "AES256"}, False),
        ({"ETag": '"900150983cd24fb0d6963f7d28e17f72-2"'}, False),
        ({"ETag": '"something"'}, False),
    ],
)
def test_an_etag_is_an_md5_at_times(others: dict[str, Any], known: bool) -> None:
    found = from_answer(head(**others), {}).md5
    assert found == (bytes.fromhex("900150983cd24fb0d6963f7d28e17f72") if known else None)


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({}, None),
        ({"ChecksumCRC32": "y/Q5Jg=="}, "cbf43926"),
        ({"ChecksumCRC32": "y/Q5Jg==", "ChecksumType": "FULL_OBJECT"}, "cbf43926"),
        ({"ChecksumCRC32": "y/Q5Jg==", "ChecksumType": "COMPOSITE"}, None),
        ({"ChecksumCRC32": "y/Q5Jg==-2", "ChecksumType": "COMPOSITE"}, None),
        ({"ChecksumCRC32": "y/Q5Jg==-2"}, None),
        ({"ChecksumCRC32": "cbf43926"}, None),
        ({"ChecksumCRC32C": "4waSgw=="}, None),
    ],
)
def test_a_crc32_is_that_of_the_object_at_times(said: dict[str, Any], known: str | None) -> None:
    found = from_answer(head(**said), {}).crc32
    assert found == (bytes.fromhex(known) if known else None)
