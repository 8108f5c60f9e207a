"""Exact Shapley values of a tree ensemble: each feature's due, whatever the order in which the trees ask. No I/O.

The game: features in a coalition are known, the others are not, and where a tree asks for one that is not, both branches count by their
cover (path-dependent TreeSHAP; Lundberg et al., 2020). A leaf is then a product: along its path each distinct feature f has the share z
of cover that its questions leave over while f is unknown, and 1 or 0 once it is known, as the payment passes its questions or not:

    v(S) = leaf x product of (1 or 0) over f in S x product of z over f not in S

1. walk every tree to every leaf, keeping for each distinct feature of the path its z and whether the payment passes;
2. with `a` features passed, the coefficients of product (z + t) over them say what coalitions of each size are worth;
3. a passed feature gets (1 - z) x the sum over the sizes k of the others, weighted by k! (m - 1 - k)! / m!; one that is not, minus that.

Worst case: leaves x depth² a tree; milliseconds a payment. For explaining on demand, not for each alert.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np

from stream_app.explaining import contributions
from stream_app.explaining.contributions import Additive, Scaled, Trees
from stream_app.features.compiled import jit_allocating
from stream_app.features.compute import Floats, Vectors


def shapley(model: Additive, vectors: Vectors) -> Floats:
    """Exact Shapley values, float64 [rows, features]; with `model.expected` they add up to the raw score.

    A linear model's contributions are them already. Sampled ones stay as they are.
    """
    if isinstance(model, Scaled):
        return shapley(model.trees, model.scaled(vectors))
    if not isinstance(model, Trees):
        return model.contributions(vectors)
    due = np.zeros(vectors.shape, dtype=np.float64)
    depth = max(1, int(_depths(model.nodes).max()))
    _tree_shap(model.nodes, model.roots, vectors, (_weights(depth), np.full(vectors.shape[1], -1, dtype=np.int64)), due)
    return due


def warm() -> None:
    """Compile what explains a decision, when an image is built: its file system is read-only later."""
    contributions.warm()
    shapley(contributions.leaf(), np.zeros((1, 1), dtype=np.float32))


def _weights(depth: int) -> Floats:
    """At [m, k], k! (m - 1 - k)! / m!: the share of orders in which a feature of m comes right after a given k of the others."""
    weights = np.zeros((depth + 1, depth + 1))
    for m in range(1, depth + 1):
        for k in range(m):
            weights[m, k] = factorial(k) * factorial(m - 1 - k) / factorial(m)
    return weights


@jit_allocating  # type: ignore[untyped-decorator]
def _depths(nodes: Any) -> Any:
    depths = np.zeros(len(nodes), dtype=np.int64)
    for at in range(len(nodes)):  # children stand behind their parent
        if nodes[at].feature >= 0:
            depths[nodes[at].low] = depths[nodes[at].high] = depths[at] + 1
    return depths


@jit_allocating  # type: ignore[untyped-decorator]
def _tree_shap(nodes: Any, roots: Any, vectors: Any, tables: Any, due: Any) -> None:
    """Walk to every leaf with a stack. Of each depth of the present path: the feature asked, its z so far, whether passed so far.

    A feature asked again takes a new place with both updated, and its old place is passed over: `latest` knows its newest.
    """
    weights, latest = tables
    depth = weights.shape[0]
    asked, passed = np.zeros(depth, dtype=np.int64), np.zeros(depth, dtype=np.bool_)
    left, before = np.zeros(depth), np.zeros(depth, dtype=np.int64)
    stack, levels = np.zeros(2 * depth + 2, dtype=np.int64), np.zeros(2 * depth + 2, dtype=np.int64)
    parents = np.zeros(2 * depth + 2, dtype=np.int64)
    coalitions = np.zeros(depth + 1)
    for row in range(len(vectors)):
        for root in roots:
            stack[0], levels[0], parents[0], height, level = root, 0, -1, 1, 0
            while height:
                height -= 1
                at, parent = stack[height], parents[height]
                while level > max(levels[height] - 1, 0):  # back up to the place of the parent
                    level -= 1
                    latest[asked[level]] = before[level]
                if parent >= 0:
                    feature = nodes[parent].feature
                    goes = nodes[parent].low if vectors[row, feature] <= nodes[parent].split else nodes[parent].high
                    share = nodes[at].cover / (nodes[nodes[parent].low].cover + nodes[nodes[parent].high].cover)
                    old = latest[feature]
                    asked[level], before[level], latest[feature] = feature, old, level
                    left[level] = share * (left[old] if old >= 0 else 1.0)
                    passed[level] = (goes == at) and (passed[old] if old >= 0 else True)
                    level += 1
                if nodes[at].feature >= 0:
                    for child in (nodes[at].low, nodes[at].high):
                        stack[height], levels[height], parents[height] = child, level + 1, at
                        height += 1
                elif level:
                    _give_dues(nodes[at].value, (asked, left, passed, latest), level, (weights, coalitions), due[row])
            while level:
                level -= 1
                latest[asked[level]] = before[level]


@jit_allocating  # type: ignore[untyped-decorator]
def _give_dues(leaf: float, path: Any, level: int, tables: Any, due: Any) -> None:
    """Step 3 for one leaf."""
    asked, left, passed, latest = path
    weights, coalitions = tables
    features, known, others = _count_coalitions(path, level, coalitions)
    failed = (weights[features, : known + 1] * coalitions[: known + 1]).sum() if features > known else 0.0
    for place in range(level):
        if latest[asked[place]] != place:
            continue
        if not passed[place]:
            due[asked[place]] -= leaf * others * failed
            continue
        worth, rest = 0.0, coalitions[known]
        for k in range(known - 1, -1, -1):  # coalitions without this one: the product divided by (z + t), from the top
            worth += weights[features, k] * rest
            rest = coalitions[k] - left[place] * rest
        due[asked[place]] += leaf * others * (1.0 - left[place]) * worth


@jit_allocating  # type: ignore[untyped-decorator]
def _count_coalitions(path: Any, level: int, coalitions: Any) -> Any:
    """Step 2 for one leaf: how many features are asked, how many passed, the product of z over the others."""
    asked, left, passed, latest = path
    features, known, others = 0, 0, 1.0
    coalitions[0] = 1.0
    for place in range(level):
        if latest[asked[place]] != place:
            continue
        features += 1
        if not passed[place]:
            others *= left[place]
            continue
        known += 1
        coalitions[known] = 0.0
        for k in range(known, -1, -1):
            coalitions[k] = coalitions[k] * left[place] + (coalitions[k - 1] if k else 0.0)
    return features, known, others
