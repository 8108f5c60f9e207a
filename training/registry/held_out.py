"""The held-out period of a training run, kept with it: what a later version is compared on, with the same payments and the same truth.

It holds feature vectors, truth, times, amounts and numbers in place of cards; no id. About 5 MB for 60,000 payments of 20 features.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stream_app.errors import ModelError
from stream_app.features.aggregations import DAY_MS
from training.fitting.evaluate import Scored, scored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.model_metadata import ModelMetadata

FILE = "held_out.npz"


class About(msgspec.Struct, frozen=True):
    """What the arrays are.

    Attributes:
        features: (name, hash) of each column.
        trained_until_ms: end of the days that the run's model was fitted on.
        begins_ms, ends_ms: of the held-out period.
        gap_days: how long frauds take to become known.
        newest_label_ms: when the newest label of the history was made.
        read_at_ms: when the history was read.
    """

    features: tuple[tuple[str, str], ...]
    trained_until_ms: int
    begins_ms: int
    ends_ms: int
    gap_days: float
    newest_label_ms: int
    read_at_ms: int

    def immature(self) -> str | None:
        """Why the labels may be too young to judge on, or None."""
        known_for = (self.read_at_ms - self.ends_ms) / DAY_MS
        if known_for < self.gap_days:
            return f"the history was read {max(0.0, known_for):.1f} days after the held-out period; frauds take {self.gap_days:g} to become known"
        if self.newest_label_ms < self.ends_ms:
            short = (self.ends_ms - self.newest_label_ms) / DAY_MS
            return f"its newest label was made {short:.1f} days before the held-out period ended"
        return None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The held-out payments.

    Attributes:
        about: what they are.
        vectors: float32 [payments, features].
        truth: with the scores that scikit-learn gave them; see `Scored`.
    """

    about: About
    vectors: Vectors
    truth: Scored

    def of(self, metadata: ModelMetadata) -> Vectors:
        """The columns that a model asks for, in its order.

        Raises:
            ModelError: the period was kept without one of them.
        """
        missing = [name for name, digest in metadata.features if (name, digest) not in self.about.features]
        if missing:
            raise ModelError(f"the held-out period was kept without {', '.join(missing)}, which it needs")
        columns = [self.about.features.index(pair) for pair in metadata.features]
        return np.ascontiguousarray(self.vectors[:, columns])

    def scored(self, scores: Floats) -> Scored:
        """The truth under other scores."""
        return scored(scores, self.truth.is_fraud, self.truth.times_ms, self.truth.cards, self.truth.amounts)

    def packed(self) -> bytes:
        """As a file."""
        buffer, truth = io.BytesIO(), self.truth
        arrays = {
            "scores": truth.scores,
            "is_fraud": truth.is_fraud,
            "times_ms": truth.times_ms,
            "cards": truth.cards,
            "amounts": truth.amounts,
        }
        about = np.frombuffer(msgspec.json.encode(self.about), dtype=np.uint8)
        np.savez_compressed(buffer, about=about, vectors=self.vectors, **arrays)  # type: ignore[arg-type] # its stub takes a flag for an array
        return buffer.getvalue()


def unpacked(content: bytes) -> HeldOut:
    """What `packed` wrote.

    Raises:
        ModelError: it cannot be read.
    """
    names: Sequence[str] = ("scores", "is_fraud", "times_ms", "cards", "amounts")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = msgspec.json.decode(arrays["about"].tobytes(), type=About)
            return HeldOut(about, arrays["vectors"], scored(*(arrays[name] for name in names)))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, msgspec.MsgspecError) as error:
        raise ModelError(f"The held-out period ({FILE}) cannot be read: {error}. Train the version again.") from None
