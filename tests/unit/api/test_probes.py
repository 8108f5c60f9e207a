"""Probes are answered while everything else is refused; every other route takes a place; and whoever ends what does not answer asks for life alone."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route

from stream_app.adapters.metrics import http_status
from stream_app.adapters.metrics.http_status import StatusServer
from stream_app.api.keys import Keys, Scope, new_key
from stream_app.api.limits import MOST_AT_ONCE
from stream_app.api.probes import PROBES, RENDERED_FOR_S, Probes
from tests.conftest import ROOT
from tests.unit.api.test_api import Api, MemoryHistory, problem
from tests.unit.scoring.test_scorer import payment

type Asks = Callable[[str, str], Awaitable[httpx.Response]]


def while_busy(api: Api, look: Callable[[Asks], Awaitable[None]]) -> None:
    """Look at the API while as many requests wait for Redis as it takes at once."""

    async def body() -> None:
        transport = httpx.ASGITransport(app=api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            waiting = [asyncio.create_task(client.post("/v1/score", json=payment("a"))) for _ in range(MOST_AT_ONCE)]
            while api.history.asked < MOST_AT_ONCE:  # noqa: ASYNC110 - one loop, which this hands on
                await asyncio.sleep(0)
            await look(client.request)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(body())


def routes(api: Api) -> set[tuple[str, str]]:
    """Method and path of every route, OpenAPI's own among them."""
    found = [r for r in api.routes if isinstance(r, Route)]
    return {(method, re.sub(r"\{\w+\}", "c1", route.path)) for route in found for method in route.methods or ()}


def test_every_route_is_a_probe_that_is_answered_when_all_places_are_taken_or_takes_one_and_is_refused() -> None:
    """Whoever adds a route need not think of it: what is not named among the probes is refused when all is busy."""
    api = Api(history=MemoryHistory(hangs=True))
    assert {path for _, path in routes(api)} > PROBES

    async def look(ask: Asks) -> None:
        for method, path in sorted(routes(api)):
            answer = await ask(method, path)
            if path in PROBES:
                assert answer.status_code == 200, path
            else:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
                assert method == "HEAD" or "128 requests are under way" in problem(answer)[1], path

    while_busy(api, look)


def test_probes_take_no_place_even_where_their_callers_read_slowly() -> None:
    """As many slow readers of each as requests are answered at once: another request is answered beside them."""
    api = Api()

    async def body() -> None:
        read = asyncio.Event()

        async def send(_: object) -> None:
            await read.wait()

        async def receive() -> dict[str, Any]:
            raise AssertionError("a probe read its body")

        scopes = [{"type": "http", "method": "GET", "path": p, "headers": [], "query_string": b""} for p in PROBES] * MOST_AT_ONCE
        reading = [asyncio.create_task(api.app(scope, receive, send)) for scope in scopes]
        await asyncio.sleep(0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api.app), base_url="http://localhost") as client:
            assert (await client.get("/v1/model")).status_code == 200
        read.set()
        await asyncio.gather(*reading)

    asyncio.run(body())


def test_a_probe_is_answered_while_a_refusal_waits_for_its_reader() -> None:
    """A request that is refused counts as under way until its caller has read that: then there are more than there are places."""
    api = Api(history=MemoryHistory(hangs=True))

    async def look(ask: Asks) -> None:
        read, begun = asyncio.Event(), asyncio.Event()

        async def send(_: object) -> None:
            begun.set()
            await read.wait()

        async def receive() -> dict[str, Any]:
            raise AssertionError("a refused request's body was read")

        scope = {"type": "http", "method": "GET", "path": "/v1/model", "headers": [], "query_string": b""}
        refused = asyncio.create_task(api.app(scope, receive, send))
        await begun.wait()
        for path in sorted(PROBES):
            assert (await ask("GET", path)).status_code == 200, path
        read.set()
        await refused

    while_busy(api, look)


def test_a_place_is_free_again_when_its_request_has_ended() -> None:
    """However it ended: here its caller went away."""
    api = Api(history=MemoryHistory(hangs=True))

    async def look(ask: Asks) -> None:
        assert (await ask("GET", "/v1/model")).status_code == 503

    while_busy(api, look)
    assert api.ask("GET", "/v1/model").is_success


def test_probes_ask_for_no_key_and_need_no_server() -> None:
    """With keys, without Redis: life and metrics are as ever, and readiness has its reason."""
    keys = Keys([new_key("other", [Scope.SCORE])[1]])
    api = Api(keys=keys, history=MemoryHistory(hangs=True), why_not_ready="Redis does not answer.")
    assert (api.ask("GET", "/livez").status_code, api.ask("GET", "/livez").text) == (200, "alive\n")
    assert (api.ask("GET", "/metrics").status_code, api.ask("GET", "/metrics").text) == (200, "m 1\n")
    for path in ("/readyz", "/health", "/startupz"):
        answer = api.ask("GET", path)
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": "Redis does not answer."})


@given(st.lists(st.booleans(), max_size=8))
def test_readiness_comes_and_goes_and_having_started_stays(scores: list[bool]) -> None:
    """Ready is what is so now; started is what was so once, since the process began."""
    api = Api()
    for number, can_score in enumerate(scores, 1):
        api.why_not_ready = None if can_score else "no model"
        assert api.ask("GET", "/readyz").is_success == api.ask("GET", "/health").is_success == can_score
        assert api.ask("GET", "/startupz").is_success == any(scores[:number])
        assert api.ask("GET", "/livez").is_success


@given(st.lists(st.integers(0, 24), max_size=20))
def test_metrics_are_rendered_once_a_second_at_most_and_are_a_second_old_at_most(gaps: list[int]) -> None:
    """However many ask: each rendering says when it was made."""
    now_s, made = 0.0, list[float]()

    def render() -> bytes:
        made.append(now_s)
        return str(now_s).encode()

    probes = Probes(lambda: None, render, lambda: now_s)
    for eighths in gaps:
        now_s += eighths / 8
        assert now_s - RENDERED_FOR_S < float(asyncio.run(probes.metrics()).body) <= now_s
    assert all(later - earlier >= RENDERED_FOR_S for earlier, later in pairwise(made))


def test_head_is_answered_wherever_get_is() -> None:
    """With GET's status and headers; a method that is refused is told of both."""
    api = Api()
    gets = {path for method, path in routes(api) if method == "GET"}
    assert gets == {path for method, path in routes(api) if method == "HEAD"} > PROBES
    for path in sorted(gets):
        got, headed = api.ask("GET", path), api.ask("HEAD", path)
        assert (got.status_code, got.headers) == (headed.status_code, headed.headers), path
    refused = api.ask("POST", "/livez")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_worker_lives_while_it_is_not_ready() -> None:
    """By both names, with GET and HEAD; the reason stands on /readyz."""

    async def body() -> None:
        server = StatusServer(lambda names: [b"m 1\n", *(name.encode() for name in names)], lambda: "Redis does not answer.")
        port = await server.start("127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for path in ("/livez", "/healthz"):
                assert ((await client.get(path)).text, (await client.head(path)).status_code) == ("alive\n", 200)
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "Redis does not answer.\n")
            assert (await client.get("/metrics")).text == "m 1\n"
            assert (await client.get("/metrics?name[]=a&name[]=b")).text == "m 1\nab"
        await server.stop()

    asyncio.run(body())


def test_a_scrape_lets_others_run_every_few_milliseconds_and_not_after_each_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty metrics of two milliseconds each by a clock of the test's own: others have a turn after every third, and none where all are quick."""

    async def turns(each_s: float) -> int:
        now_s, turn = 0.0, 0

        def metrics(_: object) -> Iterator[bytes]:
            nonlocal now_s
            for _number in range(20):
                now_s += each_s
                yield b"m 1\n"

        async def counted(_: float) -> None:
            nonlocal turn
            turn += 1

        server = StatusServer(metrics, lambda: None)
        port = await server.start("127.0.0.1", 0)
        async with httpx.AsyncClient() as client:
            with monkeypatch.context() as patch:
                patch.setattr(http_status, "time", SimpleNamespace(perf_counter=lambda: now_s))
                patch.setattr(http_status, "asyncio", SimpleNamespace(sleep=counted))
                assert (await client.get(f"http://127.0.0.1:{port}/metrics")).text == "m 1\n" * 20
        await server.stop()
        return turn

    assert asyncio.run(turns(0.002)) == 6
    assert asyncio.run(turns(0.0001)) == 0


ENDS_WHAT_FAILS = {
    "helm/fraudstream/templates/api.yaml": (r"(?:startup|liveness)Probe:\n +httpGet: \{path: (\S+),", ["/livez"] * 2),
    "helm/fraudstream/templates/worker-deployment.yaml": (r"(?:startup|liveness)Probe:\n +httpGet: \{path: (\S+),", ["/livez"] * 2),
    "Dockerfile": (r"127\.0\.0\.1:9464(/\w+)", ["/livez"]),
    "docker-compose.yml": (r"127\.0\.0\.1:(?:9464|8000)(/\w+)", ["/livez", "/startupz"]),
    "terraform/modules/api/service.tf": (r"\$\{var\.port\}(/\w+)", ["/livez"]),
    "terraform/modules/api/main.tf": (r'^ +path += "(/\w+)"', ["/startupz"]),
}
ROUTES_TRAFFIC = {
    "helm/fraudstream/templates/api.yaml": (r"readinessProbe:\n +httpGet: \{path: (\S+),", ["/readyz"]),
    "helm/fraudstream/templates/worker-deployment.yaml": (r"readinessProbe:\n +httpGet: \{path: (\S+),", ["/readyz"]),
}


@pytest.mark.parametrize(("file", "looks"), [*ENDS_WHAT_FAILS.items(), *ROUTES_TRAFFIC.items()])
def test_an_outage_ends_no_process(file: str, looks: tuple[str, list[str]]) -> None:
    """What replaces or restarts asks /livez, or /startupz where one check both routes and replaces; /readyz only routes."""
    pattern, paths = looks
    assert re.findall(pattern, ROOT.joinpath(file).read_text(), re.MULTILINE) == paths


def test_dashboards_and_alarms_of_requests_leave_the_probes_out() -> None:
    """Else an outage without a caller would be told as failing requests, and probes that are well would hide those that fail."""
    files = [ROOT / "docker/prometheus/rules.yml", *Path(ROOT / "docker/grafana/dashboards").glob("*.json")]
    filters = [names for file in files for names in re.findall(r'path!~\\?"([^"\\]+)', file.read_text())]
    assert {frozenset(names.split("|")) for names in filters} == {PROBES}
    rules = ROOT.joinpath("docker/prometheus/rules.yml").read_text()
    assert rules.count("fraudstream_api_request_seconds_count{") == rules.count("path!~") == 2
    panels: list[Any] = json.loads(ROOT.joinpath("docker/grafana/dashboards/operations.json").read_text())["panels"]
    (times,) = [p for p in panels if p["title"] == "Time of requests"]
    assert all("path!~" in target["expr"] for target in times["targets"])
