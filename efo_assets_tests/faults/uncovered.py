"""Faults that no test here brings about, with the reason in one sentence, sorted by id."""

UNCOVERED: dict[str, str] = {
    "O02": "It takes a daemon that is killed between its steps, and no test starts one yet.",
}
