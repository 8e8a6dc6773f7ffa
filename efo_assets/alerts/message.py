"""What people read: one message for a failure, for its end, for a new release and for a test.

A message is plain text, scrubbed of secrets, harmless to a terminal and bounded in length. How a
receiver writes it is the receiver's part.
"""

from dataclasses import dataclass
from datetime import datetime

from efo_assets.privacy.disclosure import one_line

TITLE_CHARACTERS = 120
LINE_CHARACTERS = 700
KEPT = "what was downloaded, and the published release as it was"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happened."""

    ontology: str
    job: str
    run_id: str
    host: str
    step: str | None = None
    ui_url: str | None = None
    is_partition: bool = False

    @property
    def what(self) -> str:
        """What works or doesn't: the job, or one ontology of the job of a catalogue."""
        return f"{self.job} of {self.ontology}" if self.is_partition else self.job

    @property
    def link(self) -> str | None:
        """The run in Dagster's UI, if the address of the UI is known."""
        return f"{self.ui_url}/runs/{self.run_id}" if self.ui_url else None

    def __str__(self) -> str:
        step = f", step {self.step}" if self.step else ""
        return f"{self.ontology}, job {self.job}{step}, on {self.host}"


@dataclass(frozen=True, slots=True)
class Message:
    """A title and a few lines, all of them one-liners."""

    title: str
    lines: tuple[str, ...]
    incident: str
    """The id of the run that began it; messages of one incident belong together."""
    kind: str
    """`failed`, `over`, `release` or `test`."""

    @property
    def text(self) -> str:
        """The lines below each other."""
        return "\n".join(self.lines)


def failed(what: str, place: Place, *, incident: str) -> Message:
    """What failed, where, what is kept, and where to see the run."""
    lines = [what, f"Where: {place}", f"Kept: {KEPT}", _run(place)]
    return _message(f"efo_assets: {place.what} failed", lines, incident, "failed")


def over(first: str, place: Place, *, incident: str, began: datetime, failures: int) -> Message:
    """It works again, and what had begun the incident."""
    times = "once" if failures == 1 else f"{failures} times"
    since = f"It had failed {times} since {began:%Y-%m-%d %H:%M} UTC, first with: {first}"
    lines = [since, f"Where: {place}", _run(place)]
    return _message(f"efo_assets: {place.what} works again", lines, incident, "over")


def published(release: str, changes: list[str], place: Place, *, incident: str) -> Message:
    """A new release stands, and what it changed."""
    lines = [*changes, f"Where: {place}", _run(place)]
    return _message(f"efo_assets: {release} is published", lines, incident, "release")


def trial(host: str, *, incident: str) -> Message:
    """Only a test."""
    lines = ["This is a test: nothing failed. Alerts of efo_assets arrive here.", f"Where: {host}"]
    return _message("efo_assets: test of the alerts", lines, incident, "test")


def _run(place: Place) -> str:
    return f"Run: {place.link or place.run_id}"


def _message(title: str, lines: list[str], incident: str, kind: str) -> Message:
    return Message(
        title=one_line(title, TITLE_CHARACTERS),
        lines=tuple(one_line(line, LINE_CHARACTERS) for line in lines),
        incident=incident,
        kind=kind,
    )
