"""One pass over stored pages into COPY files, by as many processes as there are cores.

Decoding is Python's own work, and one interpreter uses one core. Each process takes a run of
pages and fills a part of the files, which it inherits; nothing else is shared. A small download
is decoded where it is asked for, since starting a process takes as long.

`python -m efo_assets.pipeline.decoding` is such a process and nothing for people to call.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from efo_assets.errors import EfoError, PageStoreError, RecordRejected
from efo_assets.ols.payload import PayloadError
from efo_assets.ols.plan import PageSpec
from efo_assets.ols.records import COLUMNS, Findings, Sinks, decode_page
from efo_assets.ols.stored_pages import PageSet, open_page_set
from efo_assets.pipeline.collector import collector_paused
from efo_assets.warehouse.copy_files import CopyFiles, row_writers

WORTH_A_PROCESS_BYTES = 32_000_000
"""Decoded JSON; about a third of a second's work, as long as it takes to start a process."""
MOST_PROCESSES = 4
_EXPECTED: dict[str, type[EfoError]] = {
    each.__name__: each for each in (PageStoreError, RecordRejected)
}


def decode(pages: PageSet, work_dir: Path) -> tuple[CopyFiles, Findings]:
    """Decode all pages into COPY files in `work_dir`, in flat memory; the caller closes them.

    Raises:
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read, or COPY files can't be written.
    """
    specs = list(pages.plan.pages())
    shares = _shares(specs, _processes(pages))
    files = CopyFiles(work_dir, COLUMNS, parts=len(shares))
    try:
        if len(shares) > 1:
            return files, _in_processes(pages, shares, files)
        with files.writing() as write:
            return files, _decode_share(pages, specs, write)
    except BaseException:
        files.close()
        raise


def _processes(pages: PageSet) -> int:
    decoded_bytes = sum(entry.decoded_bytes for entry in pages.entries.values())
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, MOST_PROCESSES, decoded_bytes // WORTH_A_PROCESS_BYTES))


def _shares(specs: Sequence[PageSpec], count: int) -> list[range]:
    """Runs of page indices, in order, of about the same length."""
    ends = [len(specs) * number // count for number in range(count + 1)]
    return [range(*pair) for pair in pairwise(ends)]


def _decode_share(
    pages: PageSet, specs: Sequence[PageSpec], write: Sinks, *, tick: bool = False
) -> Findings:
    findings = Findings()
    with collector_paused():
        for page in pages.bodies(specs):
            try:
                decode_page(page.body, write, findings, most=page.rows)
            except PayloadError as error:
                raise PageStoreError(
                    f"Page {page.number} of the {page.listing} list in {pages.folder} is no page "
                    f"of classes ({error}): nothing was published; delete the folder, run again."
                ) from error
            if tick:
                # Nobody reads it any more once the parent is gone, and then this process ends.
                os.write(sys.stdout.fileno(), b".")
    return findings


def _in_processes(pages: PageSet, shares: Sequence[range], files: CopyFiles) -> Findings:
    with ExitStack() as running:
        started = [
            running.enter_context(_started(pages, share, part))
            for share, part in zip(shares, files.parts, strict=True)
        ]
        findings = Findings()
        for process in started:
            findings.add(_outcome(process, files))
    return findings


@contextmanager
def _started(
    pages: PageSet, share: range, part: dict[str, IO[bytes]]
) -> Iterator["subprocess.Popen[bytes]"]:
    descriptors = {name: file.fileno() for name, file in part.items()}
    task = {"folder": str(pages.folder), "pages": [share.start, share.stop], "files": descriptors}
    process = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "efo_assets.pipeline.decoding", json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=list(descriptors.values()),
        # Ctrl-C is for the parent, which ends its processes and says what is kept.
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _outcome(process: "subprocess.Popen[bytes]", files: CopyFiles) -> dict[str, Any]:
    output, complaint = process.communicate()
    try:
        said: dict[str, Any] = json.loads(output.lstrip(b"."))
    except ValueError:
        raise RuntimeError(
            f"a decoding process ended with {process.returncode}: {complaint.decode()[-3000:]}"
        ) from None
    if "full" in said:
        with files.explained():
            raise OSError(*said["full"])
    if "failed" in said:
        name, sentence = said["failed"]
        raise _EXPECTED[name](sentence)
    findings: dict[str, Any] = said["findings"]
    return findings


def main() -> None:
    """Decode the pages that the argument names into inherited files; print what came of it."""
    task = json.loads(sys.argv[1])
    try:
        said: dict[str, Any] = {"findings": _decode_inherited(task).as_facts()}
    except (RecordRejected, PageStoreError) as error:
        said = {"failed": [type(error).__name__, str(error)]}
    except BrokenPipeError:
        return
    except OSError as error:
        said = {"full": [error.errno, error.strerror]}
    sys.stdout.write(json.dumps(said))


def _decode_inherited(task: dict[str, Any]) -> Findings:
    pages = open_page_set(Path(task["folder"]))
    specs = list(pages.plan.pages())[slice(*task["pages"])]
    with ExitStack() as opened:
        files = {
            name: opened.enter_context(os.fdopen(descriptor, "wb"))
            for name, descriptor in task["files"].items()
        }
        with row_writers(files, COLUMNS) as write:
            return _decode_share(pages, specs, write, tick=True)


if __name__ == "__main__":
    main()
