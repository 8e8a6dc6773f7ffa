"""Faults that no test here brings about, with the reason in one sentence, sorted by id."""

UNCOVERED: dict[str, str] = {}
