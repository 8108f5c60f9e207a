"""Before anything is trained: who does it, under which alias, and whether MLflow lets us in."""

from __future__ import annotations

import os
import pwd

import pytest

from stream_app.errors import NoAccess
from tests.web import Page, web
from training.registry.catalogue import Catalogue, check_reachable, user
from training.train import main


def test_a_user_that_this_machine_has_no_name_for_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as any user id."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert user() == str(os.getuid())


@pytest.mark.parametrize("alias", ["latest", "v7", "a b"])
def test_an_alias_that_mlflow_keeps_is_refused_before_anything_starts(alias: str, capfd: pytest.CaptureFixture[str]) -> None:
    """There is neither such a file nor an MLflow here: neither is looked for. A wrong option, exit code 2."""
    assert main(["--data", "nowhere.csv", "--alias", alias]) == 2
    assert "alias" in capfd.readouterr().err.lower()


@pytest.mark.parametrize(("status", "said", "remedy"), [(403, b"Invalid Host header", "--allowed-hosts"), (401, b"", "user and password")])
def test_an_mlflow_that_refuses_is_told_before_training(status: int, said: bytes, remedy: str) -> None:
    """Its health page answers everybody; the registry is asked too."""
    with web({"health": Page(b"OK")}, Page(said, status)) as url:
        for step in (lambda: check_reachable(url), Catalogue(url, "fraud").aliases):
            with pytest.raises(NoAccess, match=remedy) as found:
                step()
            assert said.decode() in str(found.value)
