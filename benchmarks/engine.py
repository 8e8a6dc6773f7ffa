"""The engine without Dagster, each step timed.

`python -m benchmarks.engine` loads what `EFO_*` names and prints the seconds of each step as JSON;
`COPIED` are those from the first request until the four tables that are decoded were full.
"""

import json
import sys
import time
from typing import Any

from efo_assets.pipeline.load import load
from efo_assets.settings import Settings

COPIED = "four tables staged"
WORDS = "words"


def main() -> None:
    """Load once and print what each step took."""
    seconds: dict[str, float] = {}

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "efo_assets.step_ended":
            step, took = arguments
            seconds[step] = round(took, 2)
        elif event == "efo_assets.download_began":
            seconds[COPIED] = -time.monotonic()
        elif event == "efo_assets.tables_filled":
            seconds[COPIED] = round(seconds.pop(COPIED) + time.monotonic(), 2)

    sys.addaudithook(hear)
    began = time.monotonic()
    load(Settings.from_environment())
    json.dump({**seconds, "whole": round(time.monotonic() - began, 2)}, sys.stdout)


if __name__ == "__main__":
    main()
