"""What `fraudstream inspect` says of a source: as lines for people, as JSON for pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stream_app.inspecting.columns import SourceColumn
from stream_app.inspecting.guesses import OURS, as_yaml
from stream_app.inspecting.inspection import Inspection
from stream_app.inspecting.suggestions import suggestions
from stream_app.messages.refusals import shown

_NOT_OURS = "-"
_SHOWN_VALUES = 6
_MOST_REASONS = 20
_FINE = 0.1


@dataclass(frozen=True, slots=True)
class InspectionReport:
    """What was found.

    Attributes:
        source: its name.
        whole: whether all of it was looked at.
        is_guessed: whether nobody but `guesses` says what its columns are.
        suspicions: sentences.
    """

    source: str
    found: Inspection
    whole: bool
    suspicions: Sequence[str]
    is_guessed: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether a worker, or training, would refuse something of it as it stands, or lacks a field."""
        return bool(self.found.refused_rows or self.found.mapping.missing or self.needs_mapping or not self.found.rows)

    @property
    def needs_mapping(self) -> bool:
        """Whether the source is not taken as it stands, and nobody has said what its columns are."""
        return self.is_guessed and not (self.found.mapping.is_ours and not self.found.mapping.missing)

    def mapping(self) -> dict[str, Any]:
        """The mapping to edit."""
        return as_yaml(self.found.mapping)

    def hints(self) -> list[str]:
        """What the mapping lacks, as comments in it."""
        taken = {name for guess in self.found.mapping.columns.values() for name in (guess.theirs, *guess.also)}
        left = ", ".join(shown(name) for name in self.found.columns if name not in taken) or "none"
        lines = suggestions(self.found.columns, self.found.mapping)
        lines += ["# zone: UTC is a guess, for the times name none: write which it is"] if self.found.mapping.zone_guessed else []
        return [*lines, f"# columns that are nothing to us yet: {left}; a number or a short text may be `attributes.NAME: column`"]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        found, taken = self.found, {guess.theirs: ours for ours, guess in self.found.mapping.columns.items()}
        reasons = sorted(found.reasons.items(), key=lambda item: -item[1].rows)
        return {
            "source": self.source,
            "rows": found.rows,
            "whole": self.whole,
            "columns": [_column_as_json(column, taken.get(name), found.rows) for name, column in found.columns.items()],
            "missing": list(found.mapping.missing),
            "needs_mapping": self.needs_mapping,
            "refused_rows": found.refused_rows,
            "refused": [
                {"code": code, "field": name, "rows": r.rows, "share": r.rows / found.rows, "row": r.example[0], "message": r.example[1]}
                for (code, name), r in reasons
            ],
            "frauds": found.frauds if found.labelled else None,
            "first_event_time": found.first_ms if found.last_ms else None,
            "last_event_time": found.last_ms or None,
            "suspicions": list(self.suspicions),
            "mapping": self.mapping(),
        }

    def lines(self) -> list[str]:
        """For people; the mapping is printed after them."""
        found = self.found
        looked = "all" if self.whole else "the first"
        lines = [f"{self.source}: {looked} {found.rows:,} rows, {len(found.columns):,} columns", "", *self._table()]
        if found.last_ms:
            span = " to ".join(datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") for ms in (found.first_ms, found.last_ms))
            frauds = f", {found.frauds:,} of {found.labelled:,} are fraud ({found.frauds / found.labelled:.2%})" if found.labelled else ""
            lines += ["", f"Payments of {span} UTC{frauds}."]
        return [*lines, "", *self._missing(), *self._refused(), *self._suspected()]

    def _table(self) -> list[str]:
        taken = {guess.theirs: ours for ours, guess in self.found.mapping.columns.items()}
        rows = [("column", "is to us", "filled", "holds")]
        rows += [
            (shown(name), taken.get(name, _NOT_OURS), _share(c.filled, self.found.rows), _holds(c))
            for name, c in self.found.columns.items()
        ]
        wide = [max(len(row[i]) for row in rows) for i in range(3)]
        return ["  " + "  ".join(row[i].ljust(wide[i]) for i in range(3)) + "  " + row[3] for row in rows]

    def _missing(self) -> list[str]:
        lines = []
        for name in self.found.mapping.missing:
            of = OURS[name]
            example = f", for example {of.example}" if of.example else ""
            lines.append(f"Missing: {name}, {of.must_be}{example}. Name its column in the mapping, or a constant for all rows.")
        if "is_fraud" not in self.found.mapping.columns and self.found.is_file:
            lines.append("No label: training needs is_fraud. Without it the file can be replayed (`fraudstream produce`), not trained on.")
        if self.found.is_file and {"terminal_id", "currency"} <= {*self.found.mapping.missing}:
            lines.append(
                "If these are no payments, but reports of frauds (chargebacks, TC40, SAFE): they need neither terminal nor currency. Give them to `train` or "
                "`produce` as `--labels FILE --labels-mapping MAPPING`; what the mapping says: docs/how-to/own-data.md, Labels in a file of their own."
            )
        return [*lines, ""] if lines else []

    def _refused(self) -> list[str]:
        found = self.found
        if not found.refused_rows:
            return [f"Refused{self._read_by}: nothing.", ""]
        reasons = sorted(found.reasons.items(), key=lambda item: -item[1].rows)
        lines = [f"Refused{self._read_by}: {found.refused_rows:,} of {found.rows:,} rows ({_share(found.refused_rows, found.rows)})"]
        for (code, _), reason in reasons[:_MOST_REASONS]:
            lines.append(f"  {_share(reason.rows, found.rows):>7}  {code}: {reason.example[1]} (row {reason.example[0]:,})")
        if len(reasons) > _MOST_REASONS:
            lines.append(f"  and {len(reasons) - _MOST_REASONS} reasons more; --json has all")
        return [*lines, ""]

    @property
    def _read_by(self) -> str:
        return "" if self.found.mapping.is_ours or not self.found.is_file else ", read by the mapping"

    def _suspected(self) -> list[str]:
        return ["Looks wrong:", *[f"  - {sentence}" for sentence in self.suspicions], ""] if self.suspicions else []


def _share(part: int, of: int) -> str:
    """In percent; what is neither none nor all is never told as that."""
    if part in {0, of}:
        return "100%" if part else "0%"
    share = part / of
    return f"{max(share, 0.0001):.2%}" if share < _FINE else f"{min(share, 0.99):.0%}"


def _holds(column: SourceColumn) -> str:
    if column.form is None:
        return "nothing"
    forms = " and ".join(form.value for form, _ in column.forms.most_common(2))
    count = f"more than {len(column.values):,}" if column.many else f"{len(column.values):,}"
    between = (
        f" from {column.least:.15g} to {column.most:.15g}"
        if column.has_bounds and column.form.value.startswith(("whole", "numbers", "digits"))
        else ""
    )
    if len(column.values) <= _SHOWN_VALUES and not column.many:
        return f"{forms}: {', '.join(f'{shown(text)} ({count:,})' for text, count in column.values.most_common())}"
    return f"{forms}{between}, {count} different, as {shown(', '.join(column.examples))}"


def _column_as_json(column: SourceColumn, ours: str | None, rows: int) -> dict[str, Any]:
    numeric = column.has_bounds
    return {
        "name": column.name,
        "is": ours,
        "filled": column.filled / rows if rows else 0.0,
        "forms": {form.value: count for form, count in column.forms.most_common()},
        "different": len(column.values),
        "more_different": column.many,
        "least": column.least if numeric else None,
        "most": column.most if numeric else None,
        "examples": [shown(text) for text in column.examples],
    }
