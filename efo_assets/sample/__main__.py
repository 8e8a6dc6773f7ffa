"""A small OLS server over a generated ontology in the shape of EFO (sample data, not EFO)."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from efo_assets.sample.server import Sample, serving


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    given = _parser().parse_args(arguments)
    if given.classes < 20:  # every kind of change needs classes of its own
        sys.stderr.write("--classes takes at least 20.\n")
        return 2
    if given.recorded is not None and not (given.recorded / "v2").is_dir():
        sys.stderr.write(
            f"--recorded takes a folder with v2/*.classes.json; {given.recorded} has none.\n"
        )
        return 2
    try:
        asyncio.run(_serve(given))
    except OSError as error:
        sys.stderr.write(f"Port {given.port} can't be used ({error.strerror}): try --port 0.\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m efo_assets.sample", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="0 for any free one (default 8080)")
    parser.add_argument("--classes", type=int, default=20_000, help="how many classes to generate")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same ontology")
    parser.add_argument("--release", type=int, default=1, help="which consecutive release to serve")
    parser.add_argument(
        "--generation", choices=["A", "B", "C"], default="C", help="of the OLS server (default C)"
    )
    parser.add_argument("--base-latency-ms", type=float, default=0.0, help="per request")
    parser.add_argument("--row-latency-ms", type=float, default=0.0, help="per row of a page")
    parser.add_argument("--recorded", type=Path, help="serve recordings of this folder, too")
    parser.add_argument(
        "--warm", action="store_true", help="render releases 1 and 2 before being ready"
    )
    parser.add_argument("--port-file", type=Path, help="write the port here once ready")
    return parser


async def _serve(given: argparse.Namespace) -> None:
    sample = Sample(
        classes=given.classes,
        seed=given.seed,
        recorded=given.recorded,
        release=given.release,
        generation=given.generation,
        base_latency_ms=given.base_latency_ms,
        row_latency_ms=given.row_latency_ms,
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    if given.warm:
        sample.warm()
    async with serving(sample, given.port, given.host):
        if given.port_file is not None:
            _write_whole(given.port_file, sample.url.rpartition(":")[2])
        sys.stdout.write(f"Serving generated sample data at {sample.url} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        await ended.wait()


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
