"""The planted frauds: victims and starting times -> the events of each attack or look-alike.

Every scenario is one function. With `lookalike` it makes the harmless twin, which differs in the
one point that its rule in `examples/fraud.cep` has to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from cep.datasets.sampling import COUNTRIES, MINUTE_US, Floats, Ints, to_cents

KINDS = ("purchase", "refund", "cash_out", "login", "pin_reset", "transfer")
PURCHASE, REFUND, CASH_OUT, LOGIN, PIN_RESET, TRANSFER = range(len(KINDS))
CHANNELS = ("pos", "online", "atm", "app")
POS, ONLINE, ATM, APP = range(len(CHANNELS))
MERCHANTS = 2_000
NONE = -1  # no merchant, not part of an attack

Rng = np.random.Generator


@dataclass(slots=True)
class Cards:
    """What is fixed about each card. Shapes: (cards,)."""

    home: Ints  # index into COUNTRIES
    spending: Floats  # factor on everyday amounts


@dataclass(slots=True)
class Events:
    """Columns of codes, one row per event. A missing merchant is NONE, a missing amount NaN.

    `attack` numbers the attacks of one scenario from 0; rows that are no fraud have NONE.
    """

    card: Ints
    time_us: Ints
    kind: Ints
    channel: Ints
    country: Ints
    amount: Floats
    merchant: Ints
    attack: Ints
    scenario: Ints

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: Ints) -> Events:
        return Events(*(getattr(self, column.name)[rows] for column in fields(self)))


def concatenate(parts: Sequence[Events]) -> Events:
    return Events(
        *(np.concatenate([getattr(p, column.name) for p in parts]) for column in fields(Events))
    )


def make_events(
    card: Ints,
    time_us: Ints,
    *,
    kind: Ints | int,
    channel: Ints | int,
    country: Ints,
    amount: Floats | None = None,
    merchant: Ints | None = None,
    attack: Ints | int = NONE,
) -> Events:
    """Events of one sort; `amount` and `merchant` None mean that such events have none."""

    def column(value: Ints | int) -> Ints:
        return np.broadcast_to(np.asarray(value, dtype=np.int64), time_us.shape).copy()

    return Events(
        card=card,
        time_us=time_us,
        kind=column(kind),
        channel=column(channel),
        country=country,
        amount=np.full(len(time_us), np.nan) if amount is None else to_cents(amount),
        merchant=column(NONE) if merchant is None else merchant,
        attack=column(attack),
        scenario=column(NONE),
    )


def _repeat(rng: Rng, attacks: int, low: int, high: int) -> tuple[Ints, Ints]:
    """Between `low` and `high` events for each attack -> (attack of each event, place in it)."""
    counts = rng.integers(low, high + 1, attacks)
    attack = np.repeat(np.arange(attacks), counts)
    first = np.cumsum(counts) - counts
    return attack, np.arange(len(attack)) - first[attack]


def _abroad(rng: Rng, home: Ints) -> Ints:
    """Another country than the card's own."""
    return (home + rng.integers(1, len(COUNTRIES), len(home))) % len(COUNTRIES)


def _merchants(rng: Rng, count: int) -> Ints:
    return rng.integers(0, MERCHANTS, count)


def card_testing(rng: Rng, cards: Cards, victim: Ints, start: Ints, lookalike: bool) -> Events:
    """Three to six online probes below 2.00, then one big purchase from abroad, all in 10 minutes.

    Look-alike: the owner buys small things and then one big one, at home.
    """
    attack, place = _repeat(rng, len(victim), 3, 6)
    home = cards.home[victim]
    probes = make_events(
        victim[attack],
        start[attack] + place * MINUTE_US + rng.integers(0, MINUTE_US, len(attack)),
        kind=PURCHASE,
        channel=ONLINE,
        country=home[attack],
        amount=rng.uniform(0.1, 1.99, len(attack)),
        merchant=_merchants(rng, len(attack)),
        attack=attack,
    )
    hit = make_events(
        victim,
        start + 7 * MINUTE_US + rng.integers(0, 2 * MINUTE_US, len(victim)),
        kind=PURCHASE,
        channel=ONLINE,
        country=home if lookalike else _abroad(rng, home),
        amount=rng.uniform(600, 4_000, len(victim)),
        merchant=_merchants(rng, len(victim)),
        attack=np.arange(len(victim)),
    )
    return concatenate([probes, hit])


def cash_refund(rng: Rng, cards: Cards, victim: Ints, start: Ints, lookalike: bool) -> Events:
    """A cash withdrawal over 300, within an hour a refund of most of it, and no login in between.

    Look-alike: the owner logs in between, as one does who asks for money back.
    """
    attacks = np.arange(len(victim))
    home = cards.home[victim]
    amount = rng.uniform(350, 1_500, len(victim))
    later = start + rng.integers(20 * MINUTE_US, 50 * MINUTE_US, len(victim))
    out = make_events(
        victim, start, kind=CASH_OUT, channel=ATM, country=home, amount=amount, attack=attacks
    )
    refund = make_events(
        victim,
        later,
        kind=REFUND,
        channel=ONLINE,
        country=home,
        amount=amount * rng.uniform(0.8, 1.0, len(victim)),
        merchant=_merchants(rng, len(victim)),
        attack=attacks,
    )
    parts = [out, refund]
    if lookalike:
        parts.append(_logins(cards, victim, start + 10 * MINUTE_US))
    return concatenate(parts)


def impossible_travel(rng: Rng, cards: Cards, victim: Ints, start: Ints, lookalike: bool) -> Events:
    """The owner pays in a shop; 3 to 20 minutes later a copy of the card pays in one abroad.

    Look-alike: the second purchase is made online, for which nobody travels.
    """
    home = cards.home[victim]
    here = _purchases(rng, victim, start, home, POS, NONE)
    there = _purchases(
        rng,
        victim,
        start + rng.integers(3 * MINUTE_US, 20 * MINUTE_US, len(victim)),
        _abroad(rng, home),
        ONLINE if lookalike else POS,
        np.arange(len(victim)),
    )
    return concatenate([here, there])


def velocity_burst(rng: Rng, cards: Cards, victim: Ints, start: Ints, lookalike: bool) -> Events:
    """Sixteen to 24 online purchases at as many merchants within 25 minutes.

    Look-alike: as many at a single merchant, as on a parking meter.
    """
    attack, place = _repeat(rng, len(victim), 16, 24)
    base = _merchants(rng, len(victim))
    return make_events(
        victim[attack],
        start[attack] + place * MINUTE_US + rng.integers(0, MINUTE_US, len(attack)),
        kind=PURCHASE,
        channel=ONLINE,
        country=cards.home[victim][attack],
        amount=rng.uniform(5, 80, len(attack)),
        merchant=base[attack] if lookalike else (base[attack] + 7 * place) % MERCHANTS,
        attack=attack,
    )


def quiet_takeover(rng: Rng, cards: Cards, victim: Ints, start: Ints, lookalike: bool) -> Events:
    """A PIN reset, then two to four transfers over 800 within 40 minutes, and no login before them.

    Look-alike: the owner, who had forgotten the PIN, logs in after the reset.
    """
    attack, place = _repeat(rng, len(victim), 2, 4)
    home = cards.home[victim]
    attacks = np.arange(len(victim))
    reset = make_events(victim, start, kind=PIN_RESET, channel=APP, country=home, attack=attacks)
    transfers = make_events(
        victim[attack],
        start[attack] + (5 + 8 * place) * MINUTE_US + rng.integers(0, 5 * MINUTE_US, len(attack)),
        kind=TRANSFER,
        channel=APP,
        country=home[attack],
        amount=rng.uniform(850, 5_000, len(attack)),
        attack=attack,
    )
    parts = [reset, transfers]
    if lookalike:
        parts.append(_logins(cards, victim, start + 2 * MINUTE_US))
    return concatenate(parts)


def _logins(cards: Cards, victim: Ints, time_us: Ints) -> Events:
    return make_events(victim, time_us, kind=LOGIN, channel=APP, country=cards.home[victim])


def _purchases(
    rng: Rng, victim: Ints, time_us: Ints, country: Ints, channel: int, attack: Ints | int
) -> Events:
    return make_events(
        victim,
        time_us,
        kind=PURCHASE,
        channel=channel,
        country=country,
        amount=rng.uniform(20, 400, len(victim)),
        merchant=_merchants(rng, len(victim)),
        attack=attack,
    )


Plant = Callable[[Rng, Cards, Ints, Ints, bool], Events]

PLANTED: dict[str, Plant] = {
    "card_testing": card_testing,
    "cash_refund": cash_refund,
    "impossible_travel": impossible_travel,
    "velocity_burst": velocity_burst,
    "quiet_takeover": quiet_takeover,
}
SCENARIOS = tuple(PLANTED)


def plant(rng: Rng, cards: Cards, victims: Ints, starts: Ints) -> Events:
    """Every scenario with its look-alikes; `victims` and `starts` have shape (scenarios, 2, count).

    Attacks are numbered through, so that an attack number belongs to one scenario only.
    """
    parts = []
    for place, make in enumerate(PLANTED.values()):
        genuine = make(rng, cards, victims[place, 0], starts[place, 0], False)
        fraud = genuine.attack != NONE
        genuine.scenario[fraud] = place
        genuine.attack[fraud] += place * victims.shape[2]
        harmless = make(rng, cards, victims[place, 1], starts[place, 1], True)
        harmless.attack[:] = NONE
        parts += [genuine, harmless]
    return concatenate(parts)
