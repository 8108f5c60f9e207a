"""The routes of rules and lists: looked at, and changed by the same checks as the commands `fraudstream rules` and `fraudstream lists`."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from stream_app.api.bodies import body_of, json_of, takes_only
from stream_app.api.keys import Keys, Scope
from stream_app.api.messages import Body
from stream_app.api.problems import Refusal
from stream_app.api.rule_messages import (
    ApprovalRequest,
    DisableRequest,
    EntriesAnswer,
    EntriesRequest,
    EntryAnswer,
    ListAnswer,
    ListRequest,
    ListsAnswer,
    PutAnswer,
    PutsAnswer,
    ReleaseAnswer,
    ReleasedAnswer,
    ReleaseRequest,
    RemovalRequest,
    RuleAnswer,
    RulesAnswer,
    RulesRequest,
)
from stream_app.delivery.rule_desk import Released, RuleDesk
from stream_app.errors import NotFound
from stream_app.rules.changes import in_force
from stream_app.rules.entries import FOREVER
from stream_app.rules.lists import CardList, ListEntries, ListRemoval
from stream_app.rules.rules_log import RulesLog

MOST_SHOWN = 1_000

type CodeInPath = Annotated[str, Path(pattern="^[a-z][a-z0-9_]{0,47}$")]
type ListInPath = Annotated[str, Path(pattern="^[a-z][a-z0-9_]{0,31}$")]
type Limit = Annotated[int, Query(ge=0, le=MOST_SHOWN)]


class _Signing:
    """Who asks, and by which right."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def reads(self, request: Request, scope: Scope) -> None:
        """Let one pass who may look at this."""
        self._keys.check(request.headers.get("authorization", ""), scope, Scope.READ)

    def may(self, request: Request, scope: Scope) -> str | None:
        """Let one pass who may change this; the name of the key."""
        return self._keys.check(request.headers.get("authorization", ""), scope)

    @staticmethod
    def author(key: str | None, said: str | None) -> str:
        """Who does this.

        Raises:
            Refusal: it is another than the key's, or nobody is named where no keys are asked for.
        """
        if key is not None and said not in (None, key):
            told = f"author is {said!r}: a change is signed by the name of its key, {key!r}. Leave author out."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told, "#/author")
        if (name := key or said) is None:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid",
                "author is missing: no keys are asked for here, so say who does this.",
                "#/author",
            )
        return name


class RuleRoutes:
    """Rules and releases of them."""

    def __init__(self, desk: RuleDesk, keys: Keys) -> None:
        self._desk = desk
        self._signing = _Signing(keys)
        self._rules = Body(RulesRequest, 'an object like {"rules": [{"code": …, "expression": …, "sentence": …, "effect": …}]}')
        self._approval = Body(ApprovalRequest, 'an object like {"code": "large_online"}')
        self._releases = Body(ReleaseRequest, 'an object like {"codes": ["large_online"], "why": "…"}')
        self._disabling = Body(DisableRequest, 'an object like {"codes": ["large_online"], "why": "…"}')

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        app.get("/v1/rules")(self.all)
        app.get("/v1/rules/{code}")(self.one)
        app.post("/v1/rules")(self.put)
        app.post("/v1/rules/approvals")(self.approve)
        app.post("/v1/rules/releases")(self.release)
        app.post("/v1/rules/disabled")(self.disable)

    async def all(self, request: Request) -> Response:
        """The release in force, and every rule: the version in force, and the newest."""
        self._signing.reads(request, Scope.RULES)
        async with self._desk.live.reading:
            return json_of(_all(self._desk.live.rules_log))

    async def one(self, request: Request, code: CodeInPath) -> Response:
        """The versions of a rule that are kept, the newest first."""
        self._signing.reads(request, Scope.RULES)
        async with self._desk.live.reading:
            log = self._desk.live.rules_log
            now, versions = in_force(log).get(code), log.rules.get(code, {})
        if not versions:
            raise NotFound(f"There is no rule {code!r}. /v1/rules has all.")
        rules = [RuleAnswer(rule=rule, in_force=now is not None and now.version == number) for number, rule in sorted(versions.items())]
        return json_of(RulesAnswer(release=_release(log), rules=tuple(reversed(rules))))

    async def put(self, request: Request) -> Response:
        """Put new versions of rules that differ from those there are. Nothing comes into force by it."""
        key = self._signing.may(request, Scope.RULES)
        asked = self._rules.of(await body_of(request))
        author = self._signing.author(key, asked.author)
        done = await self._desk.put([one.rule(author) for one in asked.rules], author)
        return json_of(PutsAnswer(rules=tuple(PutAnswer(code=one.rule.code, version=one.rule.version, new=one.is_new) for one in done)))

    async def approve(self, request: Request) -> Response:
        """Approve a version of a rule. Its author cannot."""
        key = self._signing.may(request, Scope.RULES)
        asked = self._approval.of(await body_of(request))
        rule = await self._desk.approve(asked.code, asked.version, self._signing.author(key, asked.author))
        return json_of(PutsAnswer(rules=(PutAnswer(code=rule.code, version=rule.version, new=False),)))

    async def release(self, request: Request) -> Response:
        """Bring the newest versions of some rules into force; the others stay."""
        key = self._signing.may(request, Scope.RULES)
        asked = self._releases.of(await body_of(request))
        signature = self._signing.author(key, asked.author), asked.why
        return _released(await self._desk.release(asked.codes, signature, asked.bands, asked.confirm))

    async def disable(self, request: Request) -> Response:
        """Take rules out of force at once. Their versions stay."""
        key = self._signing.may(request, Scope.RULES)
        asked = self._disabling.of(await body_of(request))
        return _released(await self._desk.disable(asked.codes, (self._signing.author(key, asked.author), asked.why)))


class ListRoutes:
    """Lists, and what they hold."""

    def __init__(self, desk: RuleDesk, keys: Keys) -> None:
        self._desk = desk
        self._signing = _Signing(keys)
        self._list = Body(ListRequest, 'an object like {"of": "terminal", "power": "block", "why": "…"}')
        self._entries = Body(EntriesRequest, 'an object like {"entries": [{"value": "term-0042"}], "why": "…"}')
        self._removal = Body(RemovalRequest, 'an object like {"values": ["term-0042"], "why": "…"}')

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        app.get("/v1/lists")(self.all)
        app.get("/v1/lists/{name}")(self.one)
        app.put("/v1/lists/{name}")(self.make)
        app.post("/v1/lists/{name}/entries")(self.add)
        app.post("/v1/lists/{name}/removals")(self.remove)

    async def all(self, request: Request) -> Response:
        """All lists, and how much they hold."""
        self._signing.reads(request, Scope.LISTS)
        return json_of(ListsAnswer(lists=tuple(self._told(name) for name in self._desk.live.lists_log.lists.known)))

    async def one(self, request: Request, name: ListInPath, limit: Limit = 100) -> Response:
        """A list, and its first entries."""
        self._signing.reads(request, Scope.LISTS)
        takes_only(request, "limit")
        told = self._told(name)
        entries = islice(self._desk.live.lists_log.lists.of(name), limit)
        return json_of(
            EntriesAnswer(
                list=told,
                entries=tuple(
                    EntryAnswer(value=e.value, until=None if e.until_ms == FOREVER else e.until_ms, author=e.author, why=e.reason)
                    for e in entries
                ),
            )
        )

    async def make(self, request: Request, name: ListInPath) -> Response:
        """Make a list; of one that there is, change its power."""
        key = self._signing.may(request, Scope.LISTS)
        asked = self._list.of(await body_of(request))
        await self._desk.change_list(CardList(name, asked.of, asked.power, self._signing.author(key, asked.author), asked.why))
        return json_of(self._told(name))

    async def add(self, request: Request, name: ListInPath) -> Response:
        """Put values on a list; one that is there already gets this end, reason and author."""
        key = self._signing.may(request, Scope.LISTS)
        asked = self._entries.of(await body_of(request))
        await self._desk.change_list(ListEntries(name, asked.entries, self._signing.author(key, asked.author), asked.why))
        return json_of(self._told(name))

    async def remove(self, request: Request, name: ListInPath) -> Response:
        """Take values off a list; one that is not there is passed over."""
        key = self._signing.may(request, Scope.LISTS)
        asked = self._removal.of(await body_of(request))
        await self._desk.change_list(ListRemoval(name, asked.values, self._signing.author(key, asked.author), asked.why))
        return json_of(self._told(name))

    def _told(self, name: str) -> ListAnswer:
        lists = self._desk.live.lists_log.lists
        if (one := lists.known.get(name)) is None:
            raise NotFound(f"There is no list {name!r}. /v1/lists has all.")
        return ListAnswer(name=name, of=one.of, power=one.power, entries=lists.count(name), author=one.author, why=one.why)


def _all(log: RulesLog) -> RulesAnswer:
    def rules() -> Iterator[RuleAnswer]:
        now = in_force(log)
        for code, versions in sorted(log.rules.items()):
            newest = versions[max(versions)]
            if code in now:
                yield RuleAnswer(rule=now[code], in_force=True)
            if code not in now or newest.version != now[code].version:
                yield RuleAnswer(rule=newest, in_force=False)

    return RulesAnswer(release=_release(log), rules=tuple(rules()))


def _release(log: RulesLog) -> ReleaseAnswer | None:
    now = log.in_force
    return None if now is None else ReleaseAnswer(name=now.name, author=now.author, why=now.why, bands=now.policy)


def _released(done: Released) -> Response:
    return json_of(ReleasedAnswer(release=done.name, changes=done.changes))
