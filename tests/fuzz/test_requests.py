"""Requests that are nearly right: the API answers each as it says, and never with a fault of its own."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from stream_app.api.description import LABEL_EXAMPLE, TRANSACTION_EXAMPLE
from tests.examples import examples
from tests.fuzz.mangled import JSON, TEXTS, mangled_message
from tests.unit.api.test_api import Api, problem

API = Api()
PATHS = sorted({str(route.path) for route in API.routes if "GET" in route.methods or "POST" in route.methods})  # type: ignore[attr-defined]
BODIES = (
    mangled_message(TRANSACTION_EXAMPLE)
    | mangled_message(LABEL_EXAMPLE)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200)
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-encoding", "authorization", "accept", "x-request-id", "idempotency-key"]),
    st.sampled_from(["application/json", "gzip", "text/plain", "Bearer x", "*/*", "", "br", "application/json; charset=utf-16"]),
    max_size=3,
)
SEGMENTS = st.sampled_from(["c1", "none", "..", "%2e%2e", "%00", "%ff", "a" * 300, "é"]) | TEXTS


@examples(50)
@given(data=st.data())
def test_no_request_is_answered_with_a_fault_of_ours(data: st.DataObject) -> None:
    """Any path, method, header and body: below 500, and every refusal is a problem. Rules and lists are not read here, which is told."""
    path = data.draw(st.sampled_from(PATHS))
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(data.draw(SEGMENTS), safe="%/") + rest.partition("}")[2]
    method = data.draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]))
    answer = API.ask(method, path, content=data.draw(BODIES), headers=data.draw(HEADERS))
    assert answer.status_code < 500 or (answer.status_code == 503 and path.startswith(("/v1/rules", "/v1/lists"))), answer.text
    if answer.status_code >= 400 and method != "HEAD":
        problem(answer)
