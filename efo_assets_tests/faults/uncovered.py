"""Faults that no test here brings about, with the reason in one sentence, sorted by id."""

UNCOVERED: dict[str, str] = {
    "O02": "It takes a daemon that is killed between its steps, and no test starts one yet.",
    "O06": "It takes a code server that is reloaded under a run, and no test starts one yet.",
    "O07": "It takes the daemon's run monitoring after a death, and no test steps it yet.",
    "O08": "It takes run retries, which dagster.yaml does not turn on yet.",
    "O15": "Dagster retries its lost storage for minutes, too long for a test of this suite.",
    "X10": "It takes the daemon's run monitoring after a death, and no test steps it yet.",
}
