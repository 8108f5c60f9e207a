"""The topic `fraud-rules`: which rules there are, and which release of them is in force. A rule's versions follow one another; a release
follows the one that its author saw.

Whether a release needs rules that somebody approved is for who writes it to ask (`unapproved`): it is a setting, and what is in force at an
offset is a function of the records alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import msgspec

from stream_app.errors import RuleError
from stream_app.rules.checkpoint import Checkpoint, WholeCheckpoint
from stream_app.rules.rule import Approval, CheckedRule, Release, ReleasePolicy, Rule, checked_rule, digest_of, reference_to, release_name
from stream_app.rules.topic_log import TopicLog

MAX_CODES = 2_000
KEPT_VERSIONS = 10
"""Of each code the newest so many are kept, and those that are in force."""

type RuleRecord = Rule | Approval | Release
_DECODER: msgspec.json.Decoder[RuleRecord | Checkpoint] = msgspec.json.Decoder(Rule | Approval | Release | Checkpoint)


@dataclass(frozen=True, slots=True)
class InForce:
    """A release as it is run.

    Attributes:
        name: the release's hash.
        since: the first offset at which it is in force: a decision that had read the topic up to here was made by it; 0 where
            a checkpoint does not say.
        rules: in its order.
        policy: threshold and bands of the model; None: the model's own.
        author, why: of the release.
    """

    name: str
    since: int
    rules: tuple[CheckedRule, ...]
    policy: ReleasePolicy | None
    author: str
    why: str


class RulesLog(TopicLog[RuleRecord]):
    """What the records of `fraud-rules` come to."""

    def __init__(self, most_releases: int = 1) -> None:
        """Args: `most_releases`: so many of the newest ones are kept for `in_force_at`."""
        super().__init__(_DECODER)
        self._most_releases = most_releases
        self._known_from = 0
        self._rules: dict[str, dict[int, Rule]] = {}
        self._releases: list[InForce] = []

    @property
    def in_force(self) -> InForce | None:
        """The release of now; None before the first."""
        return self._releases[-1] if self._releases else None

    @property
    def releases(self) -> Sequence[InForce]:
        """The newest releases that are kept, the one of now last."""
        return self._releases

    def in_force_at(self, offset: int) -> InForce | None:
        """The release by which one decided who had read the topic up to `offset` (not included); None before the first.

        Raises:
            RuleError: if that is longer ago than what is kept.
        """
        if offset < self._known_from:
            raise RuleError(f"What was in force at offset {offset} of the rules is not known: this reaches back to {self._known_from}.")
        place = bisect_right([release.since for release in self._releases], offset)
        return self._releases[place - 1] if place else None

    @property
    def rules(self) -> Mapping[str, Mapping[int, Rule]]:
        """The rules that are known: code → version → rule."""
        return self._rules

    def _take(self, record: RuleRecord, offset: int, at_ms: int) -> None:  # noqa: ARG002 - of lists, it is when an entry was made
        match record:
            case Rule():
                self._put(record, restored=False)
            case Approval():
                self._approve(record)
            case Release():
                before = self.in_force.name if self.in_force else None
                if record.previous != before:
                    raise RuleError(f"{_named(record)} does not follow the one in force. Somebody else released: look, and release again.")
                self._release(record, offset + 1)

    def _check(self, record: RuleRecord, at_ms: int) -> None:
        trial = copy(self)
        trial._rules = {code: dict(versions) for code, versions in self._rules.items()}  # noqa: SLF001 - of the same class
        trial._releases = list(self._releases)  # noqa: SLF001 - as above
        trial._take(record, self.offset, at_ms)  # noqa: SLF001 - as above

    def _restore(self, record: RuleRecord) -> None:
        match record:
            case Rule():
                self._put(record, restored=True)
            case Approval():
                self._approve(record)
            case Release():
                self._release(record, 0)

    def _ended(self, ended_ms: int) -> None:
        """Rules end by the time of the payment, and stay."""

    def finish(self, whole: WholeCheckpoint) -> None:
        """See `TopicLog.finish`. What was in force before the checkpoint's offset is not known."""
        super().finish(whole)
        self._known_from = whole.at

    def _put(self, rule: Rule, *, restored: bool) -> None:
        of = f"Rule {rule.code!r}, version {rule.version}"
        if rule.approver is not None:
            raise RuleError(f"{of}: it comes with an approver. Who approves signs with a record of their own.")
        versions = self._rules.get(rule.code, {})
        if (there := versions.get(rule.version)) is not None and digest_of(there) == digest_of(rule):
            return  # sent again
        follows = max(versions, default=0) + 1
        if rule.version != follows and not (restored and there is None):
            raise RuleError(f"{of}: the next version is {follows}. Somebody else may have put one: look at it, and put yours again.")
        if not versions and len(self._rules) >= MAX_CODES:
            raise RuleError(f"{of}: there are {MAX_CODES:,} codes, no more are allowed. Take up one that is not used.")
        if restored and len(versions) > KEPT_VERSIONS:
            raise RuleError(f"{of}: a checkpoint holds more than {KEPT_VERSIONS + 1} versions of it: it is forged.")
        checked_rule(rule)
        self._rules[rule.code] = (versions if restored else self._kept(rule.code, versions)) | {rule.version: rule}

    def _kept(self, code: str, versions: dict[int, Rule]) -> dict[int, Rule]:
        """Those that stay beside one more. A checkpoint holds what was kept: which release is in force is known only behind its rules."""
        run = {one.rule.version for one in (self.in_force.rules if self.in_force else ()) if one.rule.code == code}
        newest = sorted(versions)[-(KEPT_VERSIONS - 1) :]
        return {version: versions[version] for version in sorted({*newest, *(run & versions.keys())})}

    def _approve(self, approval: Approval) -> None:
        of = f"Rule {approval.code!r}, version {approval.version}"
        rule = self._rules.get(approval.code, {}).get(approval.version)
        if rule is None or digest_of(rule) != approval.sha256:
            raise RuleError(f"{of}: there is none with this content. Look at what was put, and approve that.")
        if rule.author == approval.approver:
            raise RuleError(f"{of}: its author cannot approve it. Ask another person.")
        self._rules[approval.code][approval.version] = msgspec.structs.replace(rule, approver=approval.approver)

    def _release(self, release: Release, since: int) -> None:
        if release.name != release_name(release.rules, release.policy):
            raise RuleError(f"{_named(release)}: its name is not the hash of what it holds. It is torn, or forged.")
        policy = release.policy
        if policy is not None and not policy.threshold <= policy.step_up <= policy.decline:
            raise RuleError(f"{_named(release)}: threshold, step_up and decline must not fall.")
        rules = [self._referred(release, place) for place in range(len(release.rules))]
        codes = [rule.code for rule in rules]
        if twice := next((code for n, code in enumerate(codes) if code in codes[:n]), None):
            raise RuleError(f"{_named(release)}: rule {twice!r} stands in it twice. Name one version of it.")
        run = {one.rule: one for one in (self.in_force.rules if self.in_force else ())}
        checked = tuple(run[rule] if rule in run else checked_rule(rule) for rule in rules)
        self._releases.append(InForce(release.name, since, checked, policy, release.author, release.why))
        if len(self._releases) > self._most_releases:
            del self._releases[0]
            self._known_from = self._releases[0].since

    def _referred(self, release: Release, place: int) -> Rule:
        reference = release.rules[place]
        found = self._rules.get(reference.code, {}).get(reference.version)
        if found is None or digest_of(found) != reference.sha256:
            of = f"{_named(release)}: rule {reference.code!r}, version {reference.version}"
            raise RuleError(f"{of}, is not there with this content. Put it first.")
        return found

    def unapproved(self, release: Release) -> tuple[str, ...]:
        """The codes of a release whose live rules nobody approved."""
        rules = [self._referred(release, place) for place in range(len(release.rules))]
        return tuple(rule.code for rule in rules if rule.mode == "live" and rule.approver is None)

    def records(self, ended_ms: int = 0) -> Iterator[bytes]:  # noqa: ARG002 - rules do not end
        """See `TopicLog.records`."""
        for versions in self._rules.values():
            for rule in versions.values():
                yield msgspec.json.encode(msgspec.structs.replace(rule, approver=None))
                if rule.approver is not None:
                    yield msgspec.json.encode(Approval(rule.code, rule.version, digest_of(rule), rule.approver))
        if (now := self.in_force) is not None:
            references = tuple(reference_to(one.rule) for one in now.rules)
            yield msgspec.json.encode(Release(now.name, references, now.author, now.why, None, now.policy))


def _named(release: Release) -> str:
    return f"Release {release.name[:12]}…"
