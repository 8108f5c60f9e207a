"""Every error Fraudstream raises, and what to do about each.

    FraudstreamError
    ├── RecordError        dead-letter   this record can never be read; its neighbours go on
    ├── Unavailable        retry         Kafka, Redis or MLflow did not answer; no record's fault
    │   ├── NoAccess                     it is there, and login, protocol or certificate does not fit
    │   └── NoHost                       its name was not found
    ├── AlreadyCounted     tell          the API's caller asks for what a worker has decided
    ├── NotFound           tell          the API's caller asks for a card or terminal that nobody knows
    ├── RuleError          tell          a rule, release or list is refused; those before stay in force
    └── Stop               stop          going on would be wrong: each kind below has its exit code

What ends a process has an `exit_code`, of those of sysexits.h, so that a supervisor can tell them apart; `why` and `remedy` are its row in
the table of docs/operations.md, which is made of them.
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
        code: one of the fixed codes in `stream_app.messages.refusals.DeadLetterCode`.
        message: one sentence for the producer's team.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Unavailable(FraudstreamError):  # noqa: N818 - the state of a server, not an error of ours
    """A server did not answer. Retrying is right; dead-lettering is not."""

    exit_code: ClassVar[int] = 69
    why: ClassVar[str] = (
        "Kafka, Redis or MLflow did not answer, or the memory of Redis is full: a worker that runs tries again for a minute"
    )
    remedy: ClassVar[str] = "look at the server that the line names; a supervisor starts the worker again"


class NoAccess(Unavailable):
    """A server is there, and login, protocol or certificate does not fit. The text says which, and names the settings.

    Passwords and certificates are changed while programs run: one that runs tries again for its bounded time, and says why. One that starts
    ends at once.
    """

    exit_code: ClassVar[int] = 77
    why: ClassVar[str] = (
        "a server refuses the login, or its protocol or certificate does not fit: at a start at once; a worker that runs tries again for a minute, in which a new password may reach the server"
    )
    remedy: ClassVar[str] = "the line names the settings of the login"


class NoHost(Unavailable):
    """The name of a server was not found. Names come late where servers start together: it is tried again like what does not answer."""

    exit_code: ClassVar[int] = 68
    why: ClassVar[str] = "the name of a server was not found (DNS); a worker that runs tries again for a minute"
    remedy: ClassVar[str] = (
        "the line names the server: correct the name, in the setting or in the brokers' advertised.listeners, or mend DNS"
    )


class AlreadyCounted(FraudstreamError):  # noqa: N818 - the state of a transaction, not an error of ours
    """A worker has decided this transaction; asked again, its windows would hold it twice."""


class NotFound(FraudstreamError):  # noqa: N818 - as above
    """No partition knows this card or terminal."""


class RuleError(FraudstreamError):
    """A rule, a release or a change of a list that cannot be taken: whoever wrote it is told, and what was in force before stays.

    Attributes:
        line, column: where in the expression, from 1; 0 where it is no matter of a place.
    """

    exit_code: ClassVar[int] = 67
    why: ClassVar[str] = "a rule, a release or a list is not what it must be"
    remedy: ClassVar[str] = "the line names the place in the expression, or the entry of the list; what was in force before stays"

    def __init__(self, text: str, line: int = 0, column: int = 0) -> None:
        super().__init__(text)
        self.line = line
        self.column = column


class Stop(FraudstreamError):  # noqa: N818 - it says what to do
    """Going on would be wrong: the process ends with `exit_code` and this one line."""

    exit_code: ClassVar[int] = 1
    why: ClassVar[str] = "a fault of the program"
    remedy: ClassVar[str] = "start it again, and report it with the log"


class SettingsError(Stop):
    """A setting has a value that cannot work."""

    exit_code: ClassVar[int] = 78
    why: ClassVar[str] = (
        "a setting cannot work, Redis evicts keys (`maxmemory-policy` must be `noeviction`), or another program has the consumer group"
    )
    remedy: ClassVar[str] = "the line names the setting"


class DataError(Stop):
    """A file of transactions or labels is not what it must be."""

    exit_code: ClassVar[int] = 65
    why: ClassVar[str] = "a file of transactions or labels is not what it must be"
    remedy: ClassVar[str] = "the line names file, column and row"


class UnpackError(Stop):
    """Records of a topic cannot be unpacked here. They are in Kafka, so reading them again would fail again."""

    exit_code: ClassVar[int] = 66
    why: ClassVar[str] = "records of a topic cannot be unpacked: their codec is not installed, or they are damaged"
    remedy: ClassVar[str] = "the line names topic, partition, offset, codec and the remedy; `doctor` looks too"


class ModelError(Stop):
    """A model is missing, damaged, or names features that this program lacks or defines otherwise."""

    exit_code: ClassVar[int] = 70
    why: ClassVar[str] = "the model is missing, damaged, or asks for features that this version lacks"
    remedy: ClassVar[str] = "promote another model, or deploy another version"


class NoModel(ModelError):  # noqa: N818 - the state of the registry, not an error of ours
    """Nothing is registered under the name, or the alias points to nothing."""


class StateError(Stop):
    """State in Redis cannot be read: cut, of another version, or garbage.

    Attributes:
        partition: whose state it is, where the reader knows.
    """

    exit_code: ClassVar[int] = 74
    why: ClassVar[str] = "a cursor was written by a later version; `repartition`: a value that it wrote cannot be read"
    remedy: ClassVar[str] = "deploy the version that wrote it (docs/how-to/roll-out.md); run `repartition` again"

    def __init__(self, text: str, partition: int | None = None) -> None:
        super().__init__(text)
        self.partition = partition


class NewerState(StateError):  # noqa: N818 - nothing is wrong with it
    """State that a later version of this program wrote. It is not damaged: it is left as it is, never judged and never replaced."""


class NoProgress(Stop):
    """A worker makes no progress, and nobody says why. Its watchdog ends the process itself: a loop that hangs raises nothing."""

    exit_code: ClassVar[int] = 71
    why: ClassVar[str] = "the watchdog found no progress in two minutes, though records wait and no server is known to be away"
    remedy: ClassVar[str] = "start it again, and report it with the log"


class ClockBehind(Stop):
    """This machine's clock is so far behind that payments on time would be refused as dated ahead, and their dead letters would stand."""

    exit_code: ClassVar[int] = 72
    why: ClassVar[str] = "this machine's clock is far behind that of Redis: payments on time would be refused"
    remedy: ClassVar[str] = "set it (NTP), or Redis' where that one is ahead; start it again"


class DamagedAgain(Stop):
    """A partition's state was damaged again each time that it was begun anew: what damages it has to be found first."""

    exit_code: ClassVar[int] = 73
    why: ClassVar[str] = "the state of a partition was damaged again, three times, while it was rebuilt"
    remedy: ClassVar[str] = (
        "find what damages it: something else that writes its keys, Redis or its memory; then start it again: it begins where it stopped, or anew"
    )


class TopologyError(Stop):
    """Topics do not fit together: other partition counts, recreated, or shorter than the cursor."""

    exit_code: ClassVar[int] = 76
    why: ClassVar[str] = (
        "topics are missing, differ in partitions, were made anew, were cut (and may have grown again), or are others than those that the group "
        "was read from"
    )
    remedy: ClassVar[str] = "the line names the topic and the command or setting that mends it"


class Refused(Stop):
    """A server answered, and does not do what it is asked: a right is missing, or a policy forbids it. Trying again changes nothing."""

    exit_code: ClassVar[int] = 77
    why: ClassVar[str] = (
        "a server answered and refuses: a right is missing, a policy forbids it, the time of this machine; that ends a worker at once"
    )
    remedy: ClassVar[str] = "the line names what was refused, on what, and the right"


class NotOwner(Stop):
    """Another worker has taken the partition over; nothing was written."""

    exit_code: ClassVar[int] = 75
    why: ClassVar[str] = "another worker took a partition over, and it could not be taken again"
    remedy: ClassVar[str] = "start it again; two workers with one name of their group and other settings do this to each other"
