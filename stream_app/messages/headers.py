"""Headers of records that anybody may have written: whatever stands there, it is read, or it says nothing."""

from __future__ import annotations

from collections.abc import Sequence

type Headers = Sequence[tuple[str, bytes | None]]
"""As Kafka gives them: a name may come twice, a value may be missing."""
type OwnHeaders = Sequence[tuple[str, bytes]]
"""Of what we publish: every value is there."""

_BEYOND = 2**63
_MOST_DIGITS = len(str(_BEYOND))


def header(headers: Headers, name: str) -> bytes:
    """The value of a header, of several of that name the last one; empty where there is none."""
    return dict(headers).get(name) or b""


def headers_of(record: object) -> Headers:
    """Those of a record; none of one that is not read from Kafka."""
    found: Headers = getattr(record, "headers", None) or ()
    return found


def number(text: bytes) -> int | None:
    """An offset or a time as it is written here, in ASCII digits and below 2**63; None of anything else."""
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        return None
    return value if (value := int(text)) < _BEYOND else None
