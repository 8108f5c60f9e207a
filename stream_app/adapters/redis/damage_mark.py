"""The mark on a partition of which another worker cannot read a part. Its owner, told so, rebuilds the partition.

Rules:

1. A mark is a token: that of the cursor which was read *in one command* with the part that could not be read.
2. A cursor has a fresh token after each takeover and after each beginning anew, and keeps it until the next.
3. The owner heeds a mark that is its present token, and no other.
4. A mark falls in the transaction that writes a cursor with a fresh token. One that comes too late falls with the next write after it
   was seen.

So a mark that is heeded, of state that was begun under this token, is about a part that was written since (1, 2): never about one of before.

    owner    cursor A     begin: remove … remove … remove · cursor B, no mark      reads: A is not B       writes, no mark
    reader       reads cursor A with a part of before                       sets mark A

5. A mark that is lost takes no damage with it: whoever needs the part meets it again, decides without it, says so (`degraded`), and marks
   again. A plain takeover loses one (2, 3); so does a write that removes one of before (4), if another was set between read and write.
6. Marks of the version before are sentences, which are nobody's token: rule 3.
"""

from __future__ import annotations

import secrets

from stream_app.errors import StateError


def fresh_token() -> str:
    """A token that no cursor had before."""
    return secrets.token_hex(8)


def is_of_before(mark: bytes | None, owner: str, partition: int) -> bool:
    """Whether there is a mark that the owner with this token does not heed, and removes.

    Raises:
        StateError: if it has to begin the partition anew.
    """
    if mark == owner.encode():
        raise StateError(f"Partition {partition}: another worker cannot read a part of it. It has to be rebuilt.", partition)
    return mark is not None
