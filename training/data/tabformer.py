"""TabFormer's transactions (IBM, `card_transaction.v1.csv`) → columns that a mapping can name.

Theirs: `User`, `Card`, `Year`, `Month`, `Day`, `Time`, `Amount` as `$12.34` (a refund has a minus), `Use Chip`, `Merchant Name`, `MCC`, `Errors?`,
`Is Fraud?`. The rows stand user by user; here they come in order of time.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stream_app.wire.mapping import MappingError

NEEDED = frozenset({"User", "Card", "Year", "Month", "Day", "Time", "Amount", "Use Chip", "Merchant Name", "Is Fraud?"})
MADE = frozenset({"#time", "#card", "#amount", "#fraud"})
"""Of what is made of them: so `fraudstream inspect` sees its rows."""
_CHANNELS = {"Swipe Transaction": "magstripe", "Chip Transaction": "chip", "Online Transaction": "online"}


def prepared(table: Any) -> Any:
    """The columns that `column_mapping.TABFORMER` names, in order of time.

    Raises:
        MappingError: the first row whose amount is none, or that does not say whether it was fraud.
    """
    date = pc.binary_join_element_wise(*(_padded(table[name], digits) for name, digits in (("Year", 4), ("Month", 2), ("Day", 2))), "-")
    amounts = pc.replace_substring(table["Amount"].cast(pa.string()), "$", "")
    _refuse(pc.invert(pc.match_substring_regex(amounts, r"^-?[0-9]+(\.[0-9]+)?$")), table["Amount"], "Amount", "write it as $12.34")
    amount = amounts.cast(pa.float64())
    verdict = table["Is Fraud?"].cast(pa.string())
    _refuse(pc.invert(pc.is_in(verdict, pa.array(["Yes", "No"]))), verdict, "Is Fraud?", "write Yes or No")
    columns = {
        "#time": pc.binary_join_element_wise(date, table["Time"].cast(pa.string()), "T"),
        "#card": pc.binary_join_element_wise(table["User"].cast(pa.string()), table["Card"].cast(pa.string()), "-"),
        "#amount": pc.abs(amount),
        "#type": pc.if_else(pc.less(amount, 0), "refund", "purchase"),
        "#channel": pc.take(
            pa.array(list(_CHANNELS.values())), pc.index_in(table["Use Chip"].cast(pa.string()), pa.array(list(_CHANNELS)))
        ),
        "#fraud": pc.equal(verdict, "Yes"),
        "Merchant Name": table["Merchant Name"].cast(pa.string()),
    }
    if "MCC" in table.column_names:
        columns["#mcc"] = _padded(table["MCC"], 4)
    if "Errors?" in table.column_names:
        columns["#approved"] = pc.fill_null(pc.equal(table["Errors?"].cast(pa.string()), ""), True)
    return pa.table(columns).sort_by("#time")


def _padded(column: Any, digits: int) -> Any:
    return pc.utf8_lpad(column.cast(pa.string()), digits, "0")


def _refuse(wrong: Any, column: Any, name: str, why: str) -> None:
    row = pc.index(pc.fill_null(wrong, True), value=True).as_py()
    if row >= 0:
        raise MappingError(f"column {name!r} is {column[row].as_py()!r} in row {row + 1}; {why}.")
