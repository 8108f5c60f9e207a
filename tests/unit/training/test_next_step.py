"""What `fraudstream train` says to type next."""

from __future__ import annotations

from stream_app.features.profiles import features_of
from stream_app.settings import load_settings
from training.train import worker_of


def test_a_worker_is_started_with_the_entities_that_its_model_needs() -> None:
    """As the settings have it where that is enough; it refuses the model else."""
    settings = load_settings()
    assert worker_of(features_of("velocity"), settings) == "fraudstream worker"
    told = "FRAUDSTREAM_ENTITIES=terminal,device,merchant,mcc,country,ip fraudstream worker"
    assert worker_of(features_of("payments"), settings) == told
    assert (
        worker_of(features_of("payments"), settings.model_copy(update={"entities": "ip,country,mcc,merchant,device,terminal"}))
        == "fraudstream worker"
    )
