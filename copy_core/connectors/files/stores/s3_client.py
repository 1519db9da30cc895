"""Clients of S3: how long they wait, how often they try, and one for all who ask alike."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.handlers import set_list_objects_encoding_type_url
from botocore.utils import parse_timestamp

from copy_core.connectors.files.stores.s3_faults import FAILURES, translate
from copy_core.connectors.files.stores.s3_login import signed_in
from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from copy_core.connectors.file_options import S3Options

THREADS = 64
"""How many threads may use a client at a time without waiting for a connection."""

_made: dict[tuple[object, ...], S3Client] = {}
_making = threading.Lock()


def client(options: S3Options) -> S3Client:
    """A client for a connection, which serves many threads. Making one takes a fifth of a second;
    connections of this process with the same region and credentials share one.

    Args:
        options: the connection, secrets resolved.

    Raises:
        ConfigError: no credentials are found, or the options are none that S3 can have.
    """
    key = (
        os.getpid(),  # a forked child must not share its parent's sockets
        *(options.region, options.endpoint_url),
        *(options.access_key_id, options.secret_access_key, options.session_token),
        *(options.role_arn, options.external_id, options.web_identity),
    )
    with _making:  # or threads that start together would each make one
        if key not in _made:
            _made[key] = _new(options)
        return _made[key]


def _new(options: S3Options) -> S3Client:
    try:
        session = signed_in(options)
        session.get_component("response_parser_factory").set_parser_defaults(
            timestamp_parser=_moment
        )
        made = session.create_client(
            "s3",
            region_name=options.region,
            endpoint_url=options.endpoint_url,
            config=Config(
                max_pool_connections=THREADS,
                connect_timeout=10,
                read_timeout=60,
                tcp_keepalive=True,
                # Few, since the control flow tries again too.
                retries={"mode": "standard", "total_max_attempts": 3},
                # Other services than Amazon's seldom have a host name for each bucket.
                s3={"addressing_style": "path" if options.endpoint_url else "auto"},
            ),
        )
    except FAILURES as e:
        raise translate(e) from e
    except ValueError as e:
        raise ConfigError(
            f"no client of S3 can be made: {e}",
            fix="Correct `endpoint_url` and `region`",
            code="endpoint-invalid",
        ) from e
    # Listings ask for encoded names only where they need them.
    made.meta.events.unregister(
        "before-parameter-build.s3.ListObjectsV2", set_list_objects_encoding_type_url
    )
    return cast("S3Client", made)


def _moment(said: Any) -> datetime:
    """A time in an answer. botocore's own way takes three quarters of the time of a listing."""
    if isinstance(said, str) and said.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(said)
    return parse_timestamp(said)
