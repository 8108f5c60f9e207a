"""Every error Fraudstream raises, and what to do about each.

    FraudstreamError
    ├── RecordError        dead-letter   this record can never be read; its neighbours go on
    ├── Unavailable        retry         Kafka, Redis or MLflow did not answer; no record's fault
    ├── AlreadyCounted     tell          the API's caller asks for what a worker has decided
    ├── NotFound           tell          the API's caller asks for a card or terminal that nobody knows
    └── Stop               stop          going on would be wrong; the process ends with `exit_code`
        ├── SettingsError      78        a setting has a value that cannot work
        ├── DataError          65        a file of transactions or labels is not what it must be
        ├── UnpackError        66        records of a topic cannot be unpacked: a codec is not installed, or they are damaged
        ├── ModelError         70        a model is missing, damaged, or asks for features we lack
        │   └── NoModel                  nothing is registered under the name or the alias
        ├── StateError         74        state in Redis cannot be read; where it is damaged, its partition is rebuilt
        ├── ClockBehind        72        this machine's clock would refuse payments that are on time
        ├── DamagedAgain       73        state is damaged again and again while it is rebuilt
        ├── TopologyError      76        topics do not fit together (partition counts, ids)
        ├── Refused            77        a server answered, and does not do what it is asked: a right, a policy
        └── NotOwner           75        another worker took the partition over

The exit codes are those of sysexits.h, so that a supervisor can tell them apart.
"""

from __future__ import annotations

from typing import ClassVar


class FraudstreamError(Exception):
    """Base of all errors that Fraudstream raises on purpose.

    The text is one line for an operator: what is wrong, where, and the remedy.
    """


class RecordError(FraudstreamError):
    """A record that can never become a decision: it goes to the dead-letter topic.

    Attributes:
        code: one of the fixed codes in `stream_app.messages.transaction.DeadLetterCode`.
        message: one sentence for the producer's team.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Unavailable(FraudstreamError):  # noqa: N818 - the state of a server, not an error of ours
    """A server did not answer. Retrying is right; dead-lettering is not."""

    exit_code: ClassVar[int] = 69


class AlreadyCounted(FraudstreamError):  # noqa: N818 - the state of a transaction, not an error of ours
    """A worker has decided this transaction; asked again, its windows would hold it twice."""


class NotFound(FraudstreamError):  # noqa: N818 - as above
    """No partition knows this card or terminal."""


class Stop(FraudstreamError):  # noqa: N818 - it says what to do
    """Going on would be wrong: the process ends with `exit_code` and this one line."""

    exit_code: ClassVar[int] = 1


class SettingsError(Stop):
    """A setting has a value that cannot work."""

    exit_code: ClassVar[int] = 78


class DataError(Stop):
    """A file of transactions or labels is not what it must be."""

    exit_code: ClassVar[int] = 65


class UnpackError(Stop):
    """Records of a topic cannot be unpacked here. They are in Kafka, so reading them again would fail again."""

    exit_code: ClassVar[int] = 66


class ModelError(Stop):
    """A model is missing, damaged, or names features that this program lacks or defines otherwise."""

    exit_code: ClassVar[int] = 70


class NoModel(ModelError):  # noqa: N818 - the state of the registry, not an error of ours
    """Nothing is registered under the name, or the alias points to nothing."""


class StateError(Stop):
    """State in Redis cannot be read: cut, of another version, or garbage.

    Attributes:
        partition: whose state it is, where the reader knows.
    """

    exit_code: ClassVar[int] = 74

    def __init__(self, text: str, partition: int | None = None) -> None:
        super().__init__(text)
        self.partition = partition


class ClockBehind(Stop):
    """This machine's clock is so far behind that payments on time would be refused as dated ahead, and their dead letters would stand."""

    exit_code: ClassVar[int] = 72


class DamagedAgain(Stop):
    """A partition's state was damaged again each time that it was begun anew: what damages it has to be found first."""

    exit_code: ClassVar[int] = 73


class TopologyError(Stop):
    """Topics do not fit together: other partition counts, recreated, or shorter than the cursor."""

    exit_code: ClassVar[int] = 76


class Refused(Stop):
    """A server answered, and does not do what it is asked: a right is missing, or a policy forbids it. Trying again changes nothing."""

    exit_code: ClassVar[int] = 77


class NotOwner(Stop):
    """Another worker has taken the partition over; nothing was written."""

    exit_code: ClassVar[int] = 75
