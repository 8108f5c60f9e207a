"""What Kafka's client raises while it publishes: tried again where the next time may be otherwise, an end with the true cause where not."""

from __future__ import annotations

import aiokafka.errors
import pytest

from stream_app.adapters.kafka.publisher import _error
from stream_app.errors import FraudstreamError, Refused, Stop, Unavailable


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("TopicAuthorizationFailedError", Refused, "lacks the right WRITE on topic 'alerts'"),
        ("ClusterAuthorizationFailedError", Refused, "right IDEMPOTENT_WRITE on the cluster"),
        ("InvalidTimestampError", Refused, "clock"),
        ("PolicyViolationError", Refused, "refuses messages to topic 'alerts'"),
        ("InvalidTopicError", Refused, "refuses messages"),
        ("OutOfOrderSequenceNumber", Stop, "supervisor starts it anew"),
        ("UnknownProducerId", Stop, "supervisor starts it anew"),
        ("UnknownError", Unavailable, "answers with an error of its own"),
        ("KafkaConnectionError", Unavailable, "did not answer"),
        ("KafkaTimeoutError", Unavailable, "did not answer"),
        ("NotEnoughReplicasError", Unavailable, "NotEnoughReplicas"),
        ("BrokerNotAvailableError", Unavailable, "BrokerNotAvailable"),
    ],
)
def test_what_is_refused_is_no_kafka_that_does_not_answer(name: str, kind: type[FraudstreamError], says: str) -> None:
    """Exit code 77 for what an operator must change, 69 for what may be back in a minute."""
    error = _error(getattr(aiokafka.errors, name)(), "alerts")
    assert type(error) is kind
    assert says in str(error)
    assert (kind is Unavailable) == ("did not answer" in str(error) or "answers with" in str(error))
