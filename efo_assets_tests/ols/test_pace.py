"""How many requests the gate lets through, round by round."""

import asyncio

from efo_assets.ols.pace import Gate

CEILING = 20


async def let_through(gate: Gate) -> int:
    """How many are under way together when more ask than there can be."""

    async def request() -> None:
        async with gate.slot():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(request()) for _ in range(CEILING + 10)]
        await asyncio.sleep(0)  # each goes as far as it can
        width = gate.in_flight
        for each in asking:
            each.cancel()
    return width


async def rounds(gate: Gate, count: int) -> list[int]:
    """How many are let through in each of so many rounds of successes."""
    widths = []
    for _ in range(count):
        widths.append(await let_through(gate))
        for _ in range(widths[-1]):
            gate.succeeded()
    return widths


def test_requests_double_until_the_ceiling() -> None:
    gate = Gate(4, CEILING, asyncio.sleep)
    assert asyncio.run(rounds(gate, 5)) == [4, 8, 16, 20, 20]
    assert gate.max_in_flight_seen == CEILING


def test_after_the_first_overload_requests_grow_by_one_a_round() -> None:
    async def overloaded_in_the_third_round() -> list[int]:
        gate = Gate(4, CEILING, asyncio.sleep)
        await rounds(gate, 2)
        for _ in range(3):  # all of the same round, which is one overload
            gate.overloaded(halvings_at_start=0)
        return await rounds(gate, 4)

    assert asyncio.run(overloaded_in_the_third_round()) == [8, 8, 9, 10]


def test_the_ceiling_holds_from_the_start() -> None:
    assert asyncio.run(rounds(Gate(4, 3, asyncio.sleep), 3)) == [3, 3, 3]
