"""A client of LocalStack's S3, as AWS made it: what tests look with, and prepare with."""

from typing import Any

import boto3

from tests.servers import LocalStack


def s3_client(endpoint: str, **more: Any) -> Any:
    """A client of boto3 for the S3 that answers at `endpoint`; `more` goes to `boto3.client`."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=LocalStack.region,
        aws_access_key_id=LocalStack.access_key,
        aws_secret_access_key=LocalStack.secret_key,
        **more,
    )
