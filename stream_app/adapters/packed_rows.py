"""Between packed values and a working set: what every store has in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.features import kernel
from stream_app.features.compute import Rows
from stream_app.features.packing import Packer
from stream_app.features.plan import catalogue_plan
from stream_app.ports import WorkingSet

type Values = Sequence[bytes | None]


class PackedRows:
    """Packs and unpacks working sets. Holds scratch buffers: one for each partition's task."""

    def __init__(self) -> None:
        plan = catalogue_plan()
        self._card_layout, self._terminal_layout = plan.card.layout, plan.terminal.layout
        self._cards, self._terminals = Packer(self._card_layout), Packer(self._terminal_layout)

    def unpack(self, cards: tuple[list[str], Values], terminals: tuple[list[str], Values], other_parts: Sequence[Values]) -> WorkingSet:
        """A working set from values as read.

        Args:
            cards: ids and values, None where there is none yet.
            terminals: ids and values of this partition's parts.
            other_parts: values of the same terminals, a list for each other partition.

        Raises:
            StateError: if a value cannot be read.
        """
        card_ids, card_values = cards
        terminal_ids, own_values = terminals
        card_rows = np.empty((len(card_ids), self._card_layout.width), dtype=np.int64)
        case_ids = self._cards.unpack(card_values, card_ids, card_rows, np.arange(len(card_ids)))
        own = np.empty((len(terminal_ids), self._terminal_layout.width), dtype=np.int64)
        self._terminals.unpack(own_values, terminal_ids, own, np.arange(len(terminal_ids)))
        total = self._total(own, terminal_ids, other_parts) if other_parts else own
        return WorkingSet(card_ids, terminal_ids, Rows(card_rows, card_rows), Rows(own, total), case_ids)

    def _total(
        self, own: np.ndarray[tuple[int, int], np.dtype[np.int64]], ids: list[str], parts: Sequence[Values]
    ) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        total = own.copy()
        for values in parts:
            there = [i for i, v in enumerate(values) if v is not None]
            if not there:
                continue
            rows = np.empty((len(there), own.shape[1]), dtype=np.int64)
            self._terminals.unpack([values[i] for i in there], [ids[i] for i in there], rows, np.arange(len(there)))
            kernel.absorb_all(self._terminal_layout.table, total, np.array(there, dtype=np.int64), rows)
        return total

    def pack(self, work: WorkingSet) -> tuple[list[bytes], list[bytes]]:
        """Values of the cards and of this partition's parts of the terminals."""
        return (
            self._cards.pack(work.cards.own, np.arange(len(work.card_ids)), work.case_ids),
            self._terminals.pack(work.terminals.own, np.arange(len(work.terminal_ids))),
        )
