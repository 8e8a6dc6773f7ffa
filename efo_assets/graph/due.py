"""When a load is due: what is served, published and tried already, turned into one decision.

Pure: no Dagster, no PostgreSQL, no OLS and no clock. Moments are seconds since the epoch.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Literal, NamedTuple

import msgspec

from efo_assets.ols.release import Release
from efo_assets.warehouse.ledger import PublishedRelease

BACKOFF_BASE_S = 300.0
BACKOFF_CAP_S = 6 * 3600.0
OUTAGE_S = 3600.0
"""So long may OLS be away before it is an error: each data release begins with an outage."""

_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9._-]+")
_VERSION_CHARACTERS = 20
_ID_CHARACTERS = 8


def key_of(release: Release) -> str:
    """A name for the identity of a release, such as `efo-3.92.0-1f0c9a3b52de`, fit for a tag."""
    digest = hashlib.sha256(msgspec.json.encode((release.ontology, release.identity))).hexdigest()
    version = _NOT_IN_A_TAG.sub("_", release.version or "")[:_VERSION_CHARACTERS]
    return f"{release.ontology}-{version}-{digest[:12]}"


class Sighting(msgspec.Struct, frozen=True):
    """The release that OLS was seen serving last, and since when: all that a cursor remembers."""

    release: str
    """As `key_of` names it."""
    since_s: float
    unanswered_since_s: float | None = None
    """Since when OLS has not said what it serves; None while it does."""
    format: Literal[1] = 1

    @classmethod
    def read(cls, cursor: str | None) -> "Sighting | None":
        """Read a cursor; None if it is empty, or not one that `written` has made."""
        try:
            return msgspec.json.decode(cursor or "", type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def written(self) -> str:
        """Inverse of `read`."""
        return msgspec.json.encode(self).decode()


def sighted(before: Sighting | None, release: str, now_s: float) -> Sighting:
    """Add that `release` was seen now; one that was not the last one seen begins anew."""
    if before is not None and before.release == release and before.since_s <= now_s:
        return Sighting(release, before.since_s)
    return Sighting(release, now_s)


def unanswered(before: Sighting | None, now_s: float) -> Sighting:
    """Add that OLS did not answer now; what was seen before stays."""
    before = before or Sighting("", now_s)
    since_s = before.unanswered_since_s
    if since_s is not None and since_s <= now_s:
        return before
    return msgspec.structs.replace(before, unanswered_since_s=now_s)


def is_published(release: Release, published: PublishedRelease | None) -> bool:
    """Whether the ledger has the whole of `release`; when OLS loaded it doesn't count.

    A row of the ledger that is older than its totals is compared by versions alone.
    """
    return (
        published is not None
        and not published.is_partial
        and (published.ontology, published.version, published.version_iri)
        == (release.ontology, release.version, release.version_iri)
        and published.totals in (None, msgspec.to_builtins(release.totals))
    )


@dataclass(frozen=True, slots=True)
class Tries:
    """The runs for one release that have ended."""

    count: int = 0
    last_run_id: str = ""
    last_ended_at_s: float = 0.0

    @property
    def next_at_s(self) -> float:
        """When it may be tried again: after 5, 10, 20 … minutes, at most 6 hours."""
        if not self.count:
            return 0.0
        doublings = min(self.count - 1, 16)
        return self.last_ended_at_s + min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0**doublings)

    def run_key(self, release: str) -> str:
        """A name for the next try; Dagster never requests a run of the same name twice."""
        number = f"{release}/{self.count + 1}"
        # The count alone would come again when someone deletes a run from the history.
        return f"{number}-after-{self.last_run_id}" if self.count else number


class Situation(Enum):
    """Why a release is to be loaded now, or why not."""

    NOTHING_NEW = "nothing new"
    LIMITED = "limited"
    UNDER_WAY = "under way"
    UNCONFIRMED = "unconfirmed"
    BACKING_OFF = "backing off"
    DUE = "due"


class Decision(NamedTuple):
    """A situation, and one sentence that puts it into words."""

    situation: Situation
    sentence: str


def decide(
    release: Release,
    *,
    published: PublishedRelease | None,
    sighting: Sighting,
    under_way: str | None,
    tries: Tries,
    limit: int | None,
    confirm_s: float,
    now_s: float,
) -> Decision:
    """Decide whether `release`, which OLS serves now, is to be loaded now.

    `under_way` is the id of a run that loads already, `limit` what EFO_LIMIT holds; OLS must have
    served the release for `confirm_s` seconds.
    """
    name = f"{release.name} ({release.totals.all:,} classes)"
    if is_published(release, published):
        return Decision(Situation.NOTHING_NEW, f"Nothing new: {name} is published already.")
    if limit is not None:
        return Decision(
            Situation.LIMITED,
            f"{name} is not requested, since EFO_LIMIT is set and a load of {limit:,} classes is "
            "no release: unset EFO_LIMIT, or `limit` of the graph.",
        )
    if under_way is not None:
        return Decision(
            Situation.UNDER_WAY,
            f"{name} is not published yet, and run {under_way[:_ID_CHARACTERS]} is under way.",
        )
    confirmed_at_s = sighting.since_s + confirm_s
    if now_s < confirmed_at_s:
        return Decision(
            Situation.UNCONFIRMED,
            f"{name} was first seen at {_moment(sighting.since_s)}; it is loaded if OLS still "
            f"serves it at {_moment(confirmed_at_s)} or later.",
        )
    if now_s < tries.next_at_s:
        times = "once" if tries.count == 1 else f"{tries.count} times"
        return Decision(
            Situation.BACKING_OFF,
            f"{name} was tried {times} without being published, last in run "
            f"{tries.last_run_id[:_ID_CHARACTERS]}; the next try is at "
            f"{_moment(tries.next_at_s)} or later.",
        )
    return Decision(Situation.DUE, f"{name} is to be loaded, try {tries.count + 1}.")


def _moment(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
