"""The fixed code of each reason, for programs that read alerts. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import MappingProxyType

from stream_app.errors import SettingsError
from stream_app.features.aggregations import AGGREGATIONS
from stream_app.features.definitions import Feature

_OF_THE_PAYMENT = MappingProxyType(
    {
        "amount": "AMOUNT",
        "weekend": "TIME_OF_WEEK",
        "night": "TIME_OF_DAY",
        "channel_code": "CHANNEL",
        "type_code": "TYPE",
        "mcc_code": "CATEGORY",
        "attributes": "ATTRIBUTE",
        "category": "ATTRIBUTE",
    }
)
_OF_AN_ENTITY = MappingProxyType(
    {
        "count": "VELOCITY",
        "prior_count": "VELOCITY",
        "mean_amount": "SPEND",
        "prior_mean_amount": "SPEND",
        "amount_ratio": "AMOUNT_UNUSUAL",
        "amount_zscore": "AMOUNT_UNUSUAL",
        "seconds_since_last": "RHYTHM",
        "risk": "RISK",
        "days_since_fraud": "EPISODE",
        "days_since_episode": "EPISODE",
        "genuine_since_fraud": "EPISODE",
        "episode_risk": "EPISODE",
        "online_share": "ONLINE",
        "declines": "DECLINES",
        "declines_in_a_row": "DECLINES",
        "refunds": "REFUNDS",
        "distance_km": "TRAVEL",
        "speed_kmh": "TRAVEL",
        "first_time": "FIRST_TIME",
        "distinct": "VARIETY",
        "cards": "CARDS",
        "same_amount": "SAME_AMOUNT",
        "amount_to_largest": "AMOUNT_UNUSUAL",
        "other": "OTHER_COUNTRY",
    }
)


def reason_code(feature: Feature) -> str:
    """The fixed code of a reason: CARD_VELOCITY, TERMINAL_RISK, … ; what is unusual for the card is just AMOUNT_UNUSUAL."""
    if feature.entity is None:
        return _OF_THE_PAYMENT[feature.aggregation]
    code = _OF_AN_ENTITY[feature.aggregation]
    return code if (feature.entity, code) == ("card", "AMOUNT_UNUSUAL") else f"{feature.entity.upper()}_{code}"


def check_covered(there: Iterable[str], told: Collection[str], what: str) -> None:
    """Refuse what has no code or no words: an analyst would read of something else.

    Raises:
        SettingsError: naming what is missing, and where.
    """
    missing = [name for name in there if name not in told]
    if missing:
        raise SettingsError(f"Alerts cannot say what {', '.join(missing)} is. Give it {what}, in stream_app/explaining.")


check_covered([name for name, a in AGGREGATIONS.items() if not a.entities], _OF_THE_PAYMENT, "a code in `reason_codes._OF_THE_PAYMENT`")
check_covered([name for name, a in AGGREGATIONS.items() if a.entities], _OF_AN_ENTITY, "a code in `reason_codes._OF_AN_ENTITY`")
