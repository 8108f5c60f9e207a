"""Rights as AWS is told of them: what API Gateway lets through, and what users of Redis may do."""

from __future__ import annotations

import re

from stream_app.api.probes import PROBES
from tests.conftest import ROOT
from tests.unit.api.test_api import Api

TERRAFORM = ROOT / "terraform" / "modules"


def test_api_gateway_lets_through_the_routes_that_ask_for_a_key_and_no_others() -> None:
    """A route that is new is named there; probes, metrics and the OpenAPI document stay inside."""
    document = Api().ask("GET", "/openapi.json").json()
    wanted = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods if path not in PROBES}
    block = re.search(r"routes = \[(.*?)\]", (TERRAFORM / "api" / "gateway.tf").read_text(), re.DOTALL)
    assert block
    assert set(re.findall(r'"(.*)"', block[1])) == wanted
    assert not any(route.endswith("openapi.json") for route in wanted)


def test_users_of_redis_have_the_rights_of_the_document() -> None:
    """Which a test has tried on a real Redis."""
    told = dict(re.findall(r"^\| (worker|API).*\| `(~.*)` \|$", (ROOT / "docs" / "rights.md").read_text(), re.MULTILINE))
    given = dict(re.findall(r'^ +(worker|api) += "(~.*)"$', (TERRAFORM / "redis" / "main.tf").read_text(), re.MULTILINE))
    assert {user.lower(): rules.replace("GROUP", "${var.consumer_group}") for user, rules in told.items()} == given
