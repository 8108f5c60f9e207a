"""Rules that would hit too much: what comes to act on payments is tried on those of the last day first."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from stream_app.commands.backtest import Backtested, backtested
from stream_app.commands.past_payments import PastPayments
from stream_app.errors import DataError, RuleError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import ModelReference
from stream_app.messages.money import Money, read_rates
from stream_app.messages.transaction import IntakeRules
from stream_app.rules.lists import Lists
from stream_app.rules.rule import Rule, checked_rule
from stream_app.settings import Settings

if TYPE_CHECKING:
    from stream_app.adapters.models.onnx_model import OnnxModel

Confirmed = Annotated[list[str] | None, typer.Option("--confirm", help="Code of a rule that may hit as much as it does; may be repeated.")]


@dataclass(frozen=True, slots=True)
class WideRules:
    """Refuses live rules that hit a larger share of the last day's payments than the settings allow.

    Attributes:
        past: the payments that they are tried on; None where none were given.
        model: file of a model that scores them.
        confirmed: codes of rules that are not asked.
    """

    past: PastPayments | None
    model: Path | None
    confirmed: Collection[str]

    async def refuse(self, acting: Sequence[Rule], lists: Lists, settings: Settings) -> None:
        """Look at the rules that come to act.

        Raises:
            RuleError: one hits too much, or nothing says how much it hits, and it is not confirmed.
            DataError: the payments cannot be read.
        """
        asked = [rule for rule in acting if rule.code not in self.confirmed]
        if not asked:
            return
        if self.past is None:
            code = asked[0].code
            raise RuleError(
                f"Rule {code!r} would act on payments, and nothing says how many. Give past ones (--data FILE or --topics), or say that it is "
                f"meant: --confirm {code}."
            )
        done = await asyncio.to_thread(self._tried, self.past, asked, lists, settings)
        for code, why in (done.skipped | done.backtest.failed).items():
            raise RuleError(f"Rule {code!r} could not be tried: {why}. Mend that, or say that it is meant: --confirm {code}.")
        wide = [one for one in done.backtest.results() if one.share > settings.rules_most_share]
        if wide:
            told = "; ".join(f"{one.code} {one.hits:,} ({one.share:.1%})" for one in wide)
            raise RuleError(
                f"Of the last day's {done.backtest.payments:,} payments these rules hit more than {settings.rules_most_share:.1%} "
                f"(FRAUDSTREAM_RULES_MOST_SHARE): {told}. Narrow them, or say that it is meant: --confirm {wide[0].code}."
            )

    def _tried(self, past: PastPayments, asked: Sequence[Rule], lists: Lists, settings: Settings) -> Backtested:
        """On the last day's payments, as if they were valid then."""
        money = Money(settings.base_currency, read_rates(settings.rates_file))
        always = [structs.replace(rule, valid_from=None, valid_until=None, mode="live") for rule in asked]
        rules = tuple(checked_rule(rule, lists.kinds) for rule in always)
        intake = IntakeRules(settings.refuse_card_numbers)
        return backtested(rules, lists, past.frame(), money, intake, model_in(self.model), last_ms=DAY_MS)


def model_in(file: Path | None) -> OnnxModel | None:
    """The model of a file."""
    from stream_app.adapters.models import onnx_model  # noqa: PLC0415 - ONNX Runtime loads only where there is a model

    return None if file is None else onnx_model.OnnxModel(_content(file), ModelReference(file.name, "file"))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Name a model's ONNX file.") from None
