"""Removals on a condition, before a service of S3 that has none.

`Conditions` is a fault of `tests.store_proxy`: it answers a removal whose etag is another as Amazon
does, and has the service do the others. What Amazon answers was measured by others:
https://github.com/ministackorg/ministack/issues/1475.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from threading import Lock
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.store_proxy import Answer, Exchange, answering

_NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Conditions:
    """Heeds the etags of removals.

    Args:
        before: is called once, just before the first removal that has any.
        together: whether it heeds those of DeleteObjects; it overlooks them else.
        singly: likewise for DeleteObject.
        quoted: whether it knows etags only in quotes, as HTTP has them, or only without.
    """

    def __init__(
        self,
        *,
        before: Callable[[], object] = lambda: None,
        together: bool = True,
        singly: bool = True,
        quoted: bool | None = None,
    ) -> None:
        self._before, self._once = before, Lock()
        self._together, self._singly, self._quoted = together, singly, quoted

    def __call__(self, exchange: Exchange) -> None:
        path, _, query = exchange.path.partition("?")
        condition = _taken(exchange.headers, "if-match")
        if exchange.method == "POST" and query.startswith("delete"):
            self._several(exchange, path.rstrip("/"))
        elif exchange.method == "DELETE" and condition and self._singly:
            self._happen()
            if code := self._refusal(exchange, path, condition):
                answering(404 if code == "NoSuchKey" else 412, code)(exchange)
            else:
                exchange.reply(exchange.forward())
        else:
            exchange.reply(exchange.forward())

    def _several(self, exchange: Exchange, bucket: str) -> None:
        self._happen()
        asked = ET.fromstring(exchange.body)
        errors = ""
        for each in asked.findall(f"{_NS}Object"):
            key, etag = each.findtext(f"{_NS}Key") or "", each.findtext(f"{_NS}ETag")
            if etag is None or not self._together:
                continue
            if code := self._refusal(exchange, f"{bucket}/{quote(key)}", etag):
                errors += f"<Error><Key>{escape(key)}</Key><Code>{code}</Code></Error>"
                asked.remove(each)
        if asked.find(f"{_NS}Object") is not None:
            for name in ("content-md5", "x-amz-checksum-crc32", "x-amz-content-sha256"):
                _taken(exchange.headers, name)
            exchange.body = ET.tostring(asked)
            answer = exchange.forward()
            assert answer.status == 200, answer
        body = f"<DeleteResult>{errors}</DeleteResult>"
        exchange.reply(Answer(200, {"Content-Type": "application/xml"}, body.encode()))

    def _refusal(self, exchange: Exchange, path: str, etag: str) -> str:
        """Why an object is not removed; "" if it is."""
        method, whole, body = exchange.method, exchange.path, exchange.body
        exchange.method, exchange.path, exchange.body = "HEAD", path, b""
        found = exchange.forward()
        exchange.method, exchange.path, exchange.body = method, whole, body
        if found.status == 404:
            return "NoSuchKey"
        there = next(v for k, v in found.headers.items() if k.lower() == "etag")
        if self._quoted is not None and etag.startswith('"') != self._quoted:
            return "PreconditionFailed"
        return "" if etag.strip('"') == there.strip('"') else "PreconditionFailed"

    def _happen(self) -> None:
        if self._once.acquire(blocking=False):
            self._before()


def _taken(headers: dict[str, str], name: str) -> str | None:
    found = next((each for each in headers if each.lower() == name), None)
    return headers.pop(found) if found else None
