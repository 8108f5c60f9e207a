"""Who is in a consumer group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from stream_app.adapters.kafka.errors import answering

_NO_SUCH_GROUP = 69


async def member_counts(client_options: dict[str, Any], groups: Sequence[str]) -> dict[str, int]:
    """How many members each group has; 0 of one that does not exist.

    Raises:
        Unavailable: if Kafka does not answer.
    """
    with answering():
        admin = AIOKafkaAdminClient(**client_options)
        try:
            await admin.start()
            # one by one: aiokafka 0.14 reads the answer of version 3 as one of version 2, which is right for a single group alone
            answers = [answer for group in groups for answer in await admin.describe_consumer_groups([group])]
        finally:
            await admin.close()
        counts = {}
        for answer in answers:
            for code, name, _state, _kind, _protocol, members, *_ in answer.groups:
                if code and code != _NO_SUCH_GROUP:
                    raise for_code(code)
                counts[name] = len(members)
    return counts
