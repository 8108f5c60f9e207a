"""What each feature added to a decision's raw score, read off the model itself. No I/O.

A tree ensemble is walked: every node knows the mean raw score of the training data that came through it, so that the step to a child moves
that mean, and the move belongs to the feature that the node asks (contributions along the path; Saabas, 2014). A linear model gives each
feature its weight times its distance from the training mean. Either way

    expected + sum of the contributions = raw score.

The path depends on the order in which a tree asks. Exact Shapley values do not, and cost 50 times as much: see `stream_app.explaining.shapley`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stream_app.features.compiled import jit
from stream_app.features.compute import Floats, Vectors

NODE = np.dtype(
    [
        ("feature", np.int32),
        ("low", np.int32),
        ("high", np.int32),
        ("split", np.float64),
        ("value", np.float64),
        ("cover", np.float64),
    ],
    align=True,
)
"""A node: `feature` <= `split` leads to `low`, else to `high`, both behind their parent; a leaf has `feature` -1. `value` is the mean raw
score, `cover` the weight, of the training data that came through. One node a cache line: walking is waiting for memory."""
LEAF = -1


class Additive(Protocol):
    """A model whose raw score is a sum over its features."""

    @property
    def expected(self) -> float:
        """What there is before anything is known of the payment: the mean raw score of the training data, or that of a reference."""
        ...

    def contributions(self, vectors: Vectors) -> Floats:
        """What each feature added, float64 [rows, features]; with `expected` the raw score of each row."""
        ...


@dataclass(frozen=True, slots=True)
class Trees:
    """A tree ensemble: the raw score is `base` plus the values of the leaves reached.

    Attributes:
        nodes: of all trees, `NODE`; see `settled`.
        roots: the first node of each tree.
        base: added to every raw score.
    """

    nodes: Any
    roots: Any
    base: float

    @property
    def expected(self) -> float:
        """See `Additive`."""
        return self.base + float(self.nodes["value"][self.roots].sum())

    def contributions(self, vectors: Vectors) -> Floats:
        """See `Additive`; along the path."""
        added = np.zeros(vectors.shape, dtype=np.float64)
        _walk(self.nodes, self.roots, vectors, added)
        return added


@dataclass(frozen=True, slots=True)
class Scaled:
    """Trees that ask scaled features: each is still one of the payment's, so what a step adds is that one's.

    Attributes:
        trees: of (value - offset) x scale, in float32, as ONNX Runtime computes it.
        offset, scale: float32 [features].
    """

    trees: Trees
    offset: Vectors
    scale: Vectors

    @property
    def expected(self) -> float:
        """See `Additive`."""
        return self.trees.expected

    def contributions(self, vectors: Vectors) -> Floats:
        """See `Additive`; along the path."""
        return self.trees.contributions(self.scaled(vectors))

    def scaled(self, vectors: Vectors) -> Vectors:
        """What the trees are asked."""
        return (vectors - self.offset) * self.scale


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model: the raw score is `expected` plus weights x (values - means).

    Attributes:
        weights: float64 [features].
        means: of the training data, float64 [features].
        expected: see `Additive`.
    """

    weights: Floats
    means: Floats
    expected: float

    def contributions(self, vectors: Vectors) -> Floats:
        """See `Additive`; these are the Shapley values as well, for features that are independent."""
        return self.weights * (vectors.astype(np.float64) - self.means)


def settled(nodes: Any) -> Any:
    """The same nodes, with the values of all that are no leaf: the mean over their children, weighted by cover.

    Args:
        nodes: `NODE`; leaves have their values, all have their cover, and children stand behind their parent.
    """
    complete = nodes.copy()
    _settle(complete)
    return complete


def leaf() -> Trees:
    """A tree without a question."""
    node = np.zeros(1, dtype=NODE)
    node["feature"] = LEAF
    return Trees(settled(node), np.zeros(1, dtype=np.int64), 0.0)


def warm() -> None:
    """Compile what a worker needs, when an image is built; loading a model does the same."""
    leaf().contributions(np.zeros((1, 1), dtype=np.float32))


@jit  # type: ignore[untyped-decorator]
def _walk(nodes: Any, roots: Any, vectors: Any, added: Any) -> None:
    for row in range(len(vectors)):
        for tree in range(len(roots)):
            at = roots[tree]
            feature = nodes[at].feature
            while feature >= 0:
                child = nodes[at].low if vectors[row, feature] <= nodes[at].split else nodes[at].high
                added[row, feature] += nodes[child].value - nodes[at].value
                at, feature = child, nodes[child].feature


@jit  # type: ignore[untyped-decorator]
def _settle(nodes: Any) -> None:
    for at in range(len(nodes) - 1, -1, -1):
        if nodes[at].feature >= 0:
            low, high = nodes[at].low, nodes[at].high
            cover = nodes[low].cover + nodes[high].cover
            share = nodes[low].cover / cover if cover > 0 else 0.5
            nodes[at].value = share * nodes[low].value + (1 - share) * nodes[high].value
