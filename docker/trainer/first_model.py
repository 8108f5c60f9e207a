"""The first model of `docker compose up`: trains once, where MLflow has none under the alias; with data of your own, or simulated."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

SIMULATED = "/tmp/payments.parquet"  # noqa: S108 - the container's own


def is_there(mlflow: str, model: str, alias: str) -> bool:
    """Whether MLflow knows the model under the alias."""
    query = urlencode({"name": model, "alias": alias})
    try:
        with urlopen(f"{mlflow}/api/2.0/mlflow/registered-models/alias?{query}", timeout=30):  # noqa: S310 - the address of compose
            return True
    except HTTPError as error:
        if error.code == 404:  # noqa: PLR2004
            return False
        raise


def main() -> int:
    """Exit code of the training, or 0 where there is nothing to do."""
    model = os.environ.get("FRAUDSTREAM_MODEL_NAME") or "fraudstream"
    alias = os.environ.get("FRAUDSTREAM_MODEL_ALIAS") or "champion"
    if is_there(os.environ["FRAUDSTREAM_MLFLOW_TRACKING_URI"], model, alias):
        print(f"Model {model} has the alias {alias}: nothing to train.")
        return 0
    data = os.environ.get("TRAINING_DATA")
    if not data:
        size = ["--customers", "1000", "--terminals", "2000", "--days", "90"]
        subprocess.run(["fraudstream", "simulate", *size, "--out", SIMULATED], check=True)  # noqa: S603, S607 - our own command
    return subprocess.run([sys.executable, "-m", "training.train", "--data", data or SIMULATED], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
