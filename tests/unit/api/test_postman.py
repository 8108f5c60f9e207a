"""The Postman collection: current, and each of its requests answered by the API as the collection says."""

from __future__ import annotations

import json
import runpy
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from stream_app.api.app import ApiParts, create_app
from stream_app.api.description import LABEL_EXAMPLE
from stream_app.api.keys import Keys, Scope, new_key
from stream_app.api.probes import Probes
from stream_app.api.rule_messages import RuleDraft
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import VELOCITY
from stream_app.messages.money import Money
from stream_app.messages.transaction import IntakeRules
from stream_app.rules.lists import CardList
from stream_app.scoring.online_scoring import LabelIntake, OnlineScoring
from stream_app.scoring.publication import NO_OUTPUT
from stream_app.scoring.scorer import Scorer
from tests.conftest import ROOT
from tests.topics import MemoryTopics
from tests.unit.api.test_api import MemoryHistory
from tests.unit.delivery.rule_desks import desk_of
from tests.unit.delivery.test_live_rules import Desk
from tests.unit.scoring.test_scorer import FakeClock, FakeModel

FILE = ROOT / "examples" / "fraudstream.postman_collection.json"
COLLECTION: dict[str, Any] = json.loads(FILE.read_text())
EXAMPLES = {item["name"]: json.loads(item["request"]["body"]["raw"]) for item in COLLECTION["item"] if "body" in item["request"]}
NOW_MS = int(str(LABEL_EXAMPLE["labelled_at"])) + 1


class Whole(FakeModel):
    """Over every feature of the default profile."""

    metadata = msgspec.structs.replace(FakeModel.metadata, features=tuple((f.name, f.hash) for f in VELOCITY))

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`: it is all the amount's."""
        only = np.zeros(vectors.shape)
        only[:, 0] = vectors[:, 0] / 1000
        return only


class Then(FakeClock):
    """A day after the examples' payment, when its label came."""

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return NOW_MS


def app(process: Desk, keys: Keys) -> Any:
    """The API over a fake model, a history that knows the examples' card and terminal, and topics with their rule and their list."""
    drafted = msgspec.convert(EXAMPLES["POST /v1/rules"]["rules"][0], RuleDraft).rule("ann")
    process.release(drafted)
    process.lists.put(CardList("bad_terminals", "terminal", "block", "ann", "for tests"))
    history, topics = MemoryHistory({"card-58c1": 3, "term-0042": 3}), MemoryTopics(now_ms=NOW_MS)
    scorer = Scorer(Whole(), Money("EUR"), NO_OUTPUT, Then())

    async def publisher() -> MemoryTopics:
        return topics

    online, labels = OnlineScoring(lambda: scorer, history, Money("EUR")), LabelIntake(history, publisher, "labels")
    return create_app(ApiParts(online, labels, desk_of(process), keys, IntakeRules(), Then(), 10, Probes(lambda: None, lambda: b"")))


def ask(request: dict[str, Any]) -> int:
    """Send a request as Postman does: variables filled in, with a key. The status."""
    process, (text, key) = Desk(), new_key("bob", list(Scope))
    found: list[int] = []
    url = request["url"]["raw"].replace("{{api}}", "http://localhost")
    for variable in request["url"].get("variable", []):
        url = url.replace(f":{variable['key']}", variable["value"])
    headers = {h["key"]: h["value"] for h in request.get("header", [])} | {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(app=app(process, Keys((key,))))

    async def send() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.request(request["method"], url, headers=headers, content=request.get("body", {}).get("raw"))
            found.append(answer.status_code)

    process.run(send)
    return found[0]


def test_the_collection_is_current() -> None:
    """As `python scripts/postman.py` makes it."""
    current = runpy.run_path(str(ROOT / "scripts" / "postman.py"))["text"]() == FILE.read_text()
    assert current, f"{FILE.relative_to(ROOT)} is behind the API: `.venv/bin/python scripts/postman.py` makes it anew"


@pytest.mark.parametrize("item", COLLECTION["item"], ids=lambda item: item["name"])
def test_a_request_is_answered_as_the_collection_says(item: dict[str, Any]) -> None:
    """The status that its own test script wants."""
    status = ask(item["request"])
    assert f"to.have.status({status})" in item["event"][0]["script"]["exec"][0]
