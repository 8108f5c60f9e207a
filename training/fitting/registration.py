"""Where a trained model goes: an option of a run, read before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Registration:
    """Where the model goes.

    Attributes:
        tracking_uri: of the MLflow server.
        name: of the registered model.
        serving: the alias that workers follow.
        alias: what the new version gets; empty: `serving` where no version has it yet, else `challenger`, to be promoted.
        who: trains, for the record.
        forced: why a model that finds no more than chance or the amount alone is served all the same; empty: it gets no alias.
        needs_approval: nobody serves a version alone: the first one too becomes the challenger.
    """

    tracking_uri: str
    name: str
    serving: str = "champion"
    alias: str = ""
    who: str = ""
    forced: str = ""
    needs_approval: bool = False
