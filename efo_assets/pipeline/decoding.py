"""One pass over stored pages into COPY files, by as many processes as there are cores.

One interpreter uses one core. Each process takes a run of pages and fills a part of the files,
which it inherits; nothing else is shared. A small download is decoded in the calling process, since
to start another takes as long. `python -m efo_assets.pipeline.decoding` is not for people to call.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from efo_assets import errors
from efo_assets.errors import PageStoreError, RecordRejected
from efo_assets.ols.payload import PayloadError
from efo_assets.ols.plan import PageSpec
from efo_assets.ols.records import COLUMNS, Findings, Sinks, decode_page
from efo_assets.ols.stored_pages import PageSet, open_page_set
from efo_assets.pipeline.collector import collector_paused
from efo_assets.warehouse.copy_files import CopyFiles, row_writers

WORTH_A_PROCESS_BYTES = 32_000_000
"""Decoded JSON; about a third of a second's work, as long as it takes to start a process."""
MOST_PROCESSES = 4


def decode(pages: PageSet, work_dir: Path) -> tuple[CopyFiles, Findings]:
    """Decode all pages into COPY files in `work_dir`, in flat memory; the caller closes them.

    Raises:
        RecordRejected: a value can't be a key in PostgreSQL.
        PageStoreError: pages can't be read, or COPY files can't be written.
    """
    specs = list(pages.plan.pages())
    shares = _shares(pages, len(specs))
    files = CopyFiles(work_dir, COLUMNS, parts=len(shares))
    try:
        if len(shares) > 1:
            return files, _in_processes(pages, shares, files)
        with files.writing() as write:
            return files, _decode_share(pages, specs, write)
    except BaseException:
        files.close()
        raise


def _shares(pages: PageSet, page_count: int) -> list[range]:
    """Runs of page indices, in order and of about the same length: one for each process."""
    decoded_bytes = sum(entry.decoded_bytes for entry in pages.entries.values())
    cores = len(os.sched_getaffinity(0))
    count = max(1, min(cores, MOST_PROCESSES, decoded_bytes // WORTH_A_PROCESS_BYTES))
    ends = [page_count * number // count for number in range(count + 1)]
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
                # The pipe breaks when the parent is gone, and then this process ends.
                os.write(sys.stdout.fileno(), b".")
    return findings


def _in_processes(pages: PageSet, shares: Sequence[range], files: CopyFiles) -> Findings:
    findings = Findings()
    with ExitStack() as running:
        processes = []
        for share, part in zip(shares, files.parts, strict=True):
            process = running.enter_context(_process(pages, share, part))
            running.callback(process.kill)
            processes.append(process)
        for process in processes:
            findings.add(_result(process, files))
    return findings


def _process(
    pages: PageSet, share: range, part: Mapping[str, IO[bytes]]
) -> "subprocess.Popen[bytes]":
    """Start a process that decodes these pages into these files."""
    descriptors = {name: file.fileno() for name, file in part.items()}
    task = {"folder": str(pages.folder), "pages": [share.start, share.stop], "files": descriptors}
    return subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "efo_assets.pipeline.decoding", json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=list(descriptors.values()),
        # Ctrl-C is for the parent, which ends its processes and says what is kept.
        start_new_session=True,
    )


def _result(process: "subprocess.Popen[bytes]", files: CopyFiles) -> dict[str, Any]:
    """Wait for a process; return its findings, or raise what it failed with."""
    output, complaint = process.communicate()
    with suppress(ValueError):
        match json.loads(output.lstrip(b".")):
            case {"findings": dict(findings)}:
                return findings
            case {"full": [number, text]}:
                with files.explained():
                    raise OSError(number, text)
            case {"failed": [name, sentence]}:
                raise getattr(errors, name)(sentence)
    raise RuntimeError(
        f"a decoding process ended with {process.returncode}: {complaint.decode()[-3000:]}"
    )


def main() -> None:
    """Decode the pages that the argument names into inherited files; print the findings as JSON."""
    task = json.loads(sys.argv[1])
    try:
        pages = open_page_set(Path(task["folder"]))
        specs = list(pages.plan.pages())[slice(*task["pages"])]
        with ExitStack() as opened:
            files = {
                name: opened.enter_context(os.fdopen(descriptor, "wb"))
                for name, descriptor in task["files"].items()
            }
            with row_writers(files, COLUMNS) as write:
                findings = _decode_share(pages, specs, write, tick=True)
            answer: dict[str, Any] = {"findings": findings.as_facts()}
    except (RecordRejected, PageStoreError) as error:
        answer = {"failed": [type(error).__name__, str(error)]}
    except BrokenPipeError:
        return
    except OSError as error:
        answer = {"full": [error.errno, error.strerror]}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
