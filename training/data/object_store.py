"""The object store behind `s3://`: which one, by the environment of AWS's own programs, and why it does not give what it is asked for."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pyarrow as pa
import pyarrow.fs as arrow_fs

from stream_app.errors import DataError

_CONNECT_S, _ANSWER_S, _TRIES = 10, 60, 3
_LONGEST_SAID = 300
_SAID = re.compile(r"(?:Message: |operation: |Details: )(?!Unable to parse|No response body)(.*?)(?: \(Request ID|$)")
_AWAY = "curlCode: "
_LOGIN = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role"
_LOGINS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        "NO_SUCH_BUCKET|NoSuchBucket",
        "there is no bucket {bucket!r} at {address}",
        "Check its name, and that AWS_ENDPOINT_URL names the store that has it",
    ),
    ("SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch", "{address} refuses the secret of the login", "Check AWS_SECRET_ACCESS_KEY"),
    (
        "INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|UserNotFound",
        "{address} does not know the access key",
        "Check AWS_ACCESS_KEY_ID, or the profile",
    ),
    ("ExpiredToken|EXPIRED_TOKEN|InvalidToken", "{address} refuses the login: it has expired", "Get a new one (AWS_SESSION_TOKEN)"),
    (
        "AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|HTTP status 301",
        "the region is another one than {region!r} ({said})",
        "Set AWS_REGION to that of the bucket",
    ),
    ("RequestTimeTooSkewed|REQUEST_TIME_TOO_SKEWED", "the clock of this machine is wrong, by that of {address}", "Set it (NTP)"),
    ("curlCode: 6,", "the name of the store, {address}, was not found", "Check AWS_ENDPOINT_URL and DNS"),
    (
        "curlCode: (35|58|60|77|83),",
        "TLS is not agreed on with {address} ({said})",
        "Check AWS_ENDPOINT_URL (http or https?), and that this system trusts its certificate",
    ),
    (_AWAY, "{address} does not answer ({said})", "Check AWS_ENDPOINT_URL and the store"),
)
_DENIED = re.compile("ACCESS_DENIED|AccessDenied|HTTP status 403")


@cache
def store() -> Any:
    """The store of this environment; nothing is connected yet.

    Raises:
        DataError: its address is none.
    """
    address = _address()
    return arrow_fs.S3FileSystem(
        region=_region(),
        endpoint_override=_host(address) or None,
        scheme=address.scheme or "https",
        connect_timeout=_CONNECT_S,
        request_timeout=_ANSWER_S,
        retry_strategy=arrow_fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )


def why_not(name: str, error: Exception | None = None) -> str:
    """Why the store does not give what is called so (bucket/path), with the remedy; empty where it only has nothing of that name.

    An answer to HEAD has no content, so its cause is asked for by a list, whose has. Arrow tells causes as text alone.

    Args:
        name: of a file, a folder, or a pattern.
        error: what Arrow raised, where it did.
    """
    bucket = name.partition("/")[0]
    if error is None or _AWAY not in str(error):
        try:
            store().get_file_info(arrow_fs.FileSelector(f"{bucket}/{os.urandom(8).hex()}"))
        except FileNotFoundError:  # which is as it should be
            pass
        except (OSError, pa.ArrowException) as told:
            error = told
    return "" if error is None else _why(bucket, " ".join(str(error).split()))


def _why(bucket: str, text: str) -> str:
    found = _SAID.search(text)
    said = (found[1] if found else text)[:_LONGEST_SAID].rstrip(". ")
    words = {"bucket": bucket, "address": _host(_address()) or "AWS", "region": _region(), "said": said}
    for sign, why, remedy in _CAUSES:
        if re.search(sign, text):
            return f"{why.format(**words)}. {remedy}."
    if not _DENIED.search(text):
        return f"{said}. Check the path, the login and AWS_ENDPOINT_URL ({words['address']})."
    if not _names_a_login():
        return f"{words['address']} gives bucket {bucket!r} to nobody without a login, and none is named here. Set {_LOGIN}."
    return f"{words['address']} does not allow it to this login (access denied). Grant it s3:ListBucket and s3:GetObject on {bucket!r}, or set another: {_LOGIN}."


def _names_a_login() -> bool:
    """Whether the environment or AWS's own file does; a role of the machine is not seen from here."""
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    return file.exists() or any(map(os.environ.get, _LOGINS))


def _address() -> SplitResult:
    text = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""  # Arrow 25 does not look there by itself
    address = urlsplit(text)
    if text and (address.scheme not in {"http", "https"} or not address.hostname):
        raise DataError("AWS_ENDPOINT_URL is no address of a store. Write it as https://host:port; without it AWS itself is asked.")
    return address


def _host(address: SplitResult) -> str:
    """With the port, and without a login that may stand before it, which no store takes there."""
    return address.netloc.rpartition("@")[2]


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
