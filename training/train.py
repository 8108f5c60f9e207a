"""Train a model and put it into service: `python -m training.train --data FILE`."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stream_app.errors import FraudstreamError, Stop, Unavailable
from stream_app.features.entities import in_order, kept_of
from stream_app.features.profiles import DEFAULT_PROFILE
from stream_app.messages.money import Money, read_rates
from stream_app.settings import alias_of, load_settings, no_alias
from training.fitting.registration import Registration
from training.fitting.rows import quality_rows, team_rows
from training.registry.catalogue import check_reachable, user

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.features.definitions import Feature
    from stream_app.settings import Settings
    from training.data.label_join import LabelJoin
    from training.fitting.history import History
    from training.fitting.measure import Fitted
    from training.pipeline.run import Trained

Budget = Annotated[
    float | None, typer.Option(min=0, help="Alerts that the team can work through; sets the threshold. Default: 1 % of the payments.")
]

Cost = Annotated[
    float | None,
    typer.Option(min=0, help="What a review costs, in the base currency. Without a budget, the threshold is where reviews pay most."),
]

SEARCH_FOLDS = 4
ALL = "all"
"""In place of the attributes' names."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_command(  # noqa: PLR0913 - the command's options
    data: Annotated[Path, typer.Option(help="Transactions with labels: .parquet, .csv or .jsonl.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML: what the file's columns are, where they have names of their own.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="What is known of them, in a file of its own (chargebacks, scheme reports), in the place of the file's own labels."
        ),
    ] = None,
    labels_mapping: Annotated[Path | None, typer.Option(help="YAML: what the columns of --labels are.")] = None,
    model_name: Annotated[str, typer.Option(help="Registered model; default: FRAUDSTREAM_MODEL_NAME.")] = "",
    alias: Annotated[
        str,
        typer.Option(
            help="Alias of the new version. Default: the one that workers follow where no version has it, else challenger, to be promoted."
        ),
    ] = "",
    *,
    register: Annotated[bool, typer.Option(help="Register the model in MLflow.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Serve it though it finds no more than chance or the amount alone; needs --why.")
    ] = False,
    why: Annotated[str, typer.Option(help="Why it is forced, for the record.")] = "",
    out: Annotated[Path | None, typer.Option(help="Also write the ONNX file here.")] = None,
    alerts_per_day: Budget = None,
    review_cost: Cost = None,
    model: Annotated[
        str, typer.Option(help="logistic_regression, random_forest, extra_trees, hist_gradient_boosting, lightgbm or xgboost.")
    ] = "random_forest",
    estimator: Annotated[
        str, typer.Option(help="In place of --model: MODULE:FACTORY, a function that gives a classifier of scikit-learn, not fitted.")
    ] = "",
    onnx: Annotated[
        Path | None,
        typer.Option(
            help="In place of --model: an ONNX file that was fitted elsewhere, on the features of --features or --profile, in that order."
        ),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Choose kind, parameters and weight of frauds on four validation folds, all before the test.")
    ] = False,
    trees: Annotated[int | None, typer.Option(min=1, help="Trees. Default: 100.")] = None,
    max_depth: Annotated[int | None, typer.Option(min=1, max=30, help="Depth of the trees; deeper is slower. Forests: 12.")] = None,
    min_leaf: Annotated[int | None, typer.Option(min=1, help="Least transactions in a leaf. Forests: 5, boosting: 50.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="Any other parameter of the kind, as max_features=0.5; may be repeated.")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Features: velocity, payments (those and episodes of fraud), handbook (the book's 15) or passthrough (amount and attributes)."
        ),
    ] = DEFAULT_PROFILE,
    features: Annotated[
        Path | None, typer.Option(help="A list of features of your own in place of a profile: YAML, see docs/features.md.")
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            help="The producer's own numbers and texts beside the profile's features, as threeds,gateway_score; all: every one of the file."
        ),
    ] = "",
    fraud_weight: Annotated[float, typer.Option(help="Genuine payments that one fraud counts for in training.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
    train_days: Annotated[float, typer.Option(min=0.25, help="Days to train on, at most.")] = 28,
    validation_days: Annotated[float, typer.Option(min=0.25, help="Days to choose the threshold on.")] = 7,
    test_days: Annotated[float, typer.Option(min=0.25, help="Days to report on.")] = 7,
    gap_days: Annotated[float, typer.Option(min=0, help="Days that frauds take to become known.")] = 7,
    until: Annotated[str, typer.Option(help="Last day of the test; default: the data's last.")] = "",
    label_delay_days: Annotated[float, typer.Option(min=0, help="When a fraud became known, where the file has no labelled_at.")] = 7,
) -> None:
    """Train a model on past transactions, measure it, and register it for the workers."""
    console = Console(file=sys.stderr)  # this one, also while MLflow's talk is kept off `sys.stderr`
    with _told(console):
        settings = load_settings(**({"model_name": model_name} if model_name else {}))
        if force != bool(why):
            raise typer.BadParameter(
                "--force needs --why, and --why goes with --force: the record is worth nothing without.", param_hint="--why"
            )
        if (estimator or onnx) and search:
            raise typer.BadParameter(
                "--search chooses among the kinds of --model. Leave it out, or --estimator and --onnx.", param_hint="--search"
            )
        where = _prepared(console, settings, alias, why if force else "", register=register)
        from training.data.feature_file import read_features  # noqa: PLC0415
        from training.data.files import attributes_in  # noqa: PLC0415
        from training.data.split import Split  # noqa: PLC0415
        from training.fitting.fit import Recipe  # noqa: PLC0415
        from training.fitting.measure import ThresholdTarget  # noqa: PLC0415
        from training.fitting.options import Options  # noqa: PLC0415
        from training.pipeline import run as pipeline  # noqa: PLC0415 - seconds of imports, see `_prepared`

        options = Options(
            data=data,
            mapping=mapping,
            labels=labels,
            labels_mapping=labels_mapping,
            refuse_card_numbers=settings.refuse_card_numbers,
            split=Split(train_days=train_days, gap_days=gap_days, validation_days=validation_days, test_days=test_days, until=until),
            recipe=Recipe(
                model=model,
                parameters={**_parameters(model, trees, max_depth, min_leaf), **_given(parameter or ())},
                fraud_weight=fraud_weight,
                seed=seed,
                estimator=estimator,
                ready=onnx,
            ),
            search=SEARCH_FOLDS if search else 0,
            profile=features.stem if features else profile,
            listed=read_features(features) if features else (),
            attributes=attributes_in(data, mapping) if attributes == ALL else tuple(filter(None, map(str.strip, attributes.split(",")))),
            money=Money(settings.base_currency, read_rates(settings.rates_file)),
            label_delay_days=label_delay_days,
            target=ThresholdTarget(alerts_per_day, review_cost),
            registration=where,
            out=out,
        )
        _show(pipeline.train(options, lambda name: _stage(console, name), _tell_decisions, _tell_labels), settings, out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, that of the error, or 2 for a wrong option."""
    try:
        app(args=arguments, prog_name="python -m training.train")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _parameters(model: str, trees: int | None, max_depth: int | None, min_leaf: int | None) -> dict[str, int]:
    """The options that were given, under the names that the library has for them in this kind of model."""
    number = "max_iter" if model == "hist_gradient_boosting" else "n_estimators"
    leaf = "min_child_samples" if model == "lightgbm" else "min_samples_leaf"
    given = {number: trees, "max_depth": max_depth, leaf: min_leaf}
    return {name: value for name, value in given.items() if value is not None}


def _given(parameters: Sequence[str]) -> dict[str, int | float | str]:
    """NAME=VALUE: a whole number, another number, or a word."""
    found: dict[str, int | float | str] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, as max_features=0.5.", param_hint="--parameter")
        for kind in (int, float, str):
            with suppress(ValueError):
                found[name] = kind(value)
                break
    return found


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Turn an error meant for the operator into its line and its exit code."""
    try:
        yield
    except FraudstreamError as error:
        console.print(str(error), style="red", soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(error.exit_code if isinstance(error, Stop | Unavailable) else 1) from None


def _prepared(console: Console, settings: Settings, word: str, forced: str, *, register: bool) -> Registration | None:
    """Where to register, MLflow being there; and the libraries loaded: not before `--help`, or a wrong option, is told."""
    alias = alias_of(word)
    if alias != word:
        console.print(f"{word} of older registries is the alias {alias}.", highlight=False)
    if alias and (why := no_alias(alias)) is not None:
        raise typer.BadParameter(f"{why[0].upper()}{why[1:]}.", param_hint="--alias")
    if alias == settings.model_alias and settings.promotion_needs_approval:
        raise typer.BadParameter(
            "FRAUDSTREAM_PROMOTION_NEEDS_APPROVAL is on: nobody serves a version alone. Leave it out, and promote.", param_hint="--alias"
        )
    where = None
    if register:
        where = Registration(
            settings.mlflow_tracking_uri,
            settings.model_name,
            serving=settings.model_alias,
            alias=alias,
            who=user(),
            forced=forced,
            needs_approval=settings.promotion_needs_approval,
        )
        check_reachable(where.tracking_uri)
    with _stage(console, "Load the libraries"):
        import_module("training.pipeline.run")
    return where


@contextmanager
def _stage(console: Console, name: str) -> Iterator[None]:
    begun = time.monotonic()
    with console.status(f"{name} …"):
        yield
    console.print(f"[green]✓[/] {name} [dim]{time.monotonic() - begun:.1f} s[/]", highlight=False)


def _tell_labels(joined: LabelJoin) -> None:
    for line in joined.lines():
        Console().print(line, highlight=False, soft_wrap=True)


def _tell_decisions(history: History, fitted: Fitted) -> None:
    """The windows, the metrics and the forecast, before anything is registered."""
    from training.registry.card import warnings_in  # noqa: PLC0415 - seconds of imports, see `_prepared`

    console = Console()
    for vocabulary in history.vocabularies:
        console.print(str(vocabulary), highlight=False, markup=False, soft_wrap=True)
    console.print(_windows_table(history), _metrics_table(fitted), forecast_table(fitted))
    console.print(f"alert from {fitted.threshold:.5f}, step up from {fitted.bands.step_up:.5f}, decline from {fitted.bands.decline:.5f}")
    if fitted.sampled:
        console.print(
            "The model does not say what each feature adds: its reasons are sampled (docs/reasons.md).", highlight=False, soft_wrap=True
        )
    for warning in warnings_in(fitted):
        console.print(f"Look at this: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"calibration changed {fitted.changed} of {len(fitted.before.scores):,} decisions of the test", highlight=False)


def _show(trained: Trained, settings: Settings, out: Path | None) -> None:
    """What came of it, and what to type next."""
    console = Console()
    console.print(f"scikit-learn and ONNX Runtime differ by {trained.parity:.1g} at most")
    if trained.history.origin.unpriced:
        told = "transactions have no rate into"
        console.print(
            f"{trained.history.origin.unpriced:,} {told} {settings.base_currency}: counted, their money was not (FRAUDSTREAM_RATES_FILE)"
        )
    if out:
        console.print(f"ONNX file: {out}", soft_wrap=True)
    if trained.registered is None:
        console.print("Nothing was registered: --no-register.")
        return
    registered = trained.registered
    console.print(registered.told(), soft_wrap=True)
    if not registered.alias:
        return
    if registered.alias == settings.model_alias:
        console.print(
            f"\nNext: [bold]{worker_of(trained.history.features, settings)}[/] (those that run take it up within 10 s)", soft_wrap=True
        )
    else:
        console.print(
            f"\nNext: [bold]fraudstream promote --alias {registered.alias}[/] compares it with the {settings.model_alias}", soft_wrap=True
        )


def worker_of(features: Iterable[Feature], settings: Settings) -> str:
    """The command of a worker that takes a model of these features: with the entities that it needs state of, where the settings keep fewer."""
    kept = kept_of(settings.entities)
    needed = kept | {feature.entity for feature in features if feature.entity is not None}
    return "fraudstream worker" if needed == kept else f"FRAUDSTREAM_ENTITIES={','.join(in_order(needed))} fraudstream worker"


def _windows_table(history: History) -> Table:
    table = Table("window", "days (UTC)", "transactions", "frauds", title="Split by time")
    for part in (history.parts.train, history.parts.validation, history.parts.test):
        table.add_row(part.window.name, part.window.dates(), f"{len(part.rows):,}", f"{part.frauds:,}")
    table.caption = f"{history.origin.warm_up_days} days of warm-up before; in the test, cards with a known fraud are left out"
    return table


def _metrics_table(fitted: Fitted) -> Table:
    table = Table("metric", "validation", "test", "test, before calibration", title="Quality")
    for row in quality_rows(fitted):
        table.add_row(*row)
    return table


def forecast_table(fitted: Fitted) -> Table:
    """What the team will see at the threshold."""
    table = Table("at the threshold", "forecast (validation)", "test", title="Alerts and money")
    for row in team_rows(fitted):
        table.add_row(*row)
    return table


if __name__ == "__main__":
    sys.exit(main())
