"""`worker_entry`, of a later version: it packs in a format of its own and reads this version's too, has a feature more, for which rows
keep more, and another kernel version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from stream_app.features import definitions
from stream_app.features.aggregations import DAY_S

ADDED = definitions.Feature("declines", "card", 7 * DAY_S)
definitions.CATALOGUE = (*definitions.CATALOGUE, ADDED)
definitions.KERNEL_VERSION += 1
definitions.LAYOUT_VERSION += 1

from stream_app.features.packing import Packer, is_newer  # noqa: E402 - the catalogue is that of the later version before anybody reads it
from stream_app.features.plan import catalogue_plan, row_layout_of  # noqa: E402
from tests.faults import worker_entry  # noqa: E402
from tests.faults.points import replace  # noqa: E402
from tests.later import later, of_today  # noqa: E402


def install() -> None:
    """Put the later version's packed format into the classes of this process."""
    if catalogue_plan().entities[0].layout.fingerprint == row_layout_of("card", definitions.CATALOGUE[:-1]).fingerprint:
        raise AssertionError("the later catalogue keeps nothing more: the suite is wrong")
    if {name for name in vars(Packer) if not name.startswith("_")} != {"pack", "unpack", "unpack_known", "add", "sum"}:
        raise AssertionError("a method of Packer is not known here: say what a later version packs or reads by it")

    def packed(original: Any) -> Any:
        return lambda self, *given: [later(value) for value in original(self, *given)]

    def known(values: Sequence[bytes | None]) -> list[bytes | None]:
        return [of_today(value) if value is not None and is_newer(value) else value for value in values]

    def unpacked(original: Any) -> Any:
        return lambda self, values, *given: original(self, known(values), *given)

    def summed(original: Any) -> Any:
        return lambda self, parts, *given: original(self, [known(values) for values in parts], *given)

    replace(Packer, "pack", packed)
    replace(Packer, "sum", summed)
    for reads in ("unpack", "add"):
        replace(Packer, reads, unpacked)


if __name__ == "__main__":
    install()
    sys.exit(worker_entry.main())
