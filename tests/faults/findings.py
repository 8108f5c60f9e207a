"""What a lane was found to have wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Findings:
    """What is wrong, each with the names of what it is wrong about.

    Attributes:
        lost: decisions, alerts and dead letters that were never published.
        doubled: raw copies beyond the first that no stale owner explains.
        doubled_by_stale_owner: those that one does: published by a worker that was stopped, after another had published them, or made
            after it was resumed.
        unexpected: alerts and dead letters that should not be; decisions that are other than they must be.
        wrong_state: keys in Redis whose value is not the brute force's.
        unnamed: damaged values that no worker named.
        degraded: decisions made without state of another version, which say so.
        unbidden: workers that a fault ended which should stop nobody, and state that was rebuilt without need.
        stuck: what was awaited in vain.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    doubled_by_stale_owner: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_state: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    unbidden: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, int]:
        """How many of each, where there is any; what a stale owner doubled, and what is told to be degraded, is allowed."""
        counts = {f.name: len(getattr(self, f.name)) for f in fields(self)}
        return {name: n for name, n in counts.items() if n and name not in {"doubled_by_stale_owner", "degraded"}}
