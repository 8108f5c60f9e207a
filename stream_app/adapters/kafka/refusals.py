"""What Kafka refuses, by its cause: an answer is never told as silence."""

from __future__ import annotations

from collections.abc import Collection

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from stream_app.adapters.kafka.connecting import why_not_connected
from stream_app.errors import FraudstreamError, Refused, SettingsError

_NOT_REACHED = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, OSError, TimeoutError)
_GROUP = "FRAUDSTREAM_CONSUMER_GROUP"


def refusal(error: BaseException, right: str, topic: str = "", group: str = "") -> FraudstreamError | None:
    """What was refused, as an error of ours; None where Kafka refused nothing, or nobody knows why it does not answer.

    Args:
        error: what aiokafka raised.
        right: what was asked for, by Kafka's word for it: READ, WRITE, DESCRIBE.
        topic: which topic it was asked for, where the error does not say so.
        group: the consumer group, likewise.
    """
    if isinstance(error, TopicAuthorizationFailedError):
        return no_right(right, "topic", _named(error) or topic)
    if isinstance(error, (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)):
        is_group = isinstance(error, GroupAuthorizationFailedError)
        kind, of = ("group", "READ") if is_group else ("transactional-id", "WRITE")
        return no_right(of, kind, _named(error) or group, f" ({_GROUP})")
    if isinstance(error, ClusterAuthorizationFailedError):
        of_cluster = "IDEMPOTENT_WRITE" if right == "WRITE" else right  # what a producer needs that has no topic yet
        return Refused(
            f"Kafka refuses: this user lacks the right {of_cluster} on the cluster. Give it: {_command(of_cluster, '--cluster')}"
        )
    if isinstance(error, InconsistentGroupProtocolError):
        return SettingsError(
            f"{_GROUP} = {group!r}: another program is in this consumer group and shares partitions out by another protocol, so Kafka lets no "
            "worker in. Give the workers a group of their own, or end the other program."
        )
    if isinstance(error, (InvalidGroupIdError, InvalidSessionTimeoutError)):
        return Refused(
            f"Kafka refuses this member of the consumer group {group!r} ({type(error).__name__}). See {_GROUP}, and group.* of the brokers."
        )
    return why_not_connected(error) if isinstance(error, _NOT_REACHED) else None


def no_right(right: str, kind: str, name: str, setting: str = "") -> Refused:
    """Which right is missing on what, and the command that grants it."""
    on = f"{kind} {name!r}" if name else f"a {kind}"
    return Refused(
        f"Kafka refuses: this user lacks the right {right} on {on}{setting}. Give it: {_command(right, f'--{kind} {name or "NAME"}')}"
    )


def _command(right: str, on: str) -> str:
    operation = "".join(word.title() for word in right.split("_"))
    return f"kafka-acls.sh --add --allow-principal User:NAME --operation {operation} {on}"


def _named(error: BrokerResponseError) -> str:
    """What aiokafka says was refused: a name, or several, or nothing."""
    said = error.args[0] if error.args else ""
    if isinstance(said, str):
        return said.removeprefix("Unable to get coordinator id for ")  # as its admin client says it of a group
    return ", ".join(sorted(map(str, said))) if isinstance(said, Collection) else ""
