"""Size and seed -> labelled card transactions: everyday spending with planted fraud."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.datasets.sampling import (
    AMOUNT_LOG_DEVIATION,
    AMOUNT_LOG_MEAN,
    COUNTRIES,
    COUNTRY_WEIGHTS,
    DAY_US,
    HOUR_US,
    Ints,
    draw,
    text_column,
    zipf_weights,
)
from cep.datasets.scenarios import (
    APP,
    ATM,
    CHANNELS,
    KINDS,
    LOGIN,
    MERCHANTS,
    NONE,
    ONLINE,
    PIN_RESET,
    POS,
    PURCHASE,
    SCENARIOS,
    Cards,
    Events,
    concatenate,
    make_events,
    plant,
)

START_US = 1_740_960_000_000_000  # Monday 2025-03-03 00:00
FIRST_CARD = 4_000_000_000_000_000
KIND_WEIGHTS = (0.78, 0.02, 0.05, 0.12, 0.004, 0.026)  # in the order of KINDS
CHANNEL_OF_KIND = np.array([POS, ONLINE, ATM, APP, APP, APP])
ONLINE_PURCHASES = 0.4  # the others are made in a shop
ABROAD_ONLINE = 0.05  # of online purchases, from a shop in another country
TRAVELLERS = 0.15  # of cards, one journey each
FLIGHT_US = 5 * HOUR_US
CARD_LOG_DEVIATION = 0.5  # how much cards differ; the rest of the spread is within a card
EVENT_LOG_DEVIATION = (AMOUNT_LOG_DEVIATION**2 - CARD_LOG_DEVIATION**2) ** 0.5
HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 12, 11, 10, 10, 11, 12, 12, 11, 9, 7, 5, 3)


def card_transactions(
    n: int = 200_000,
    cards: int = 5_000,
    seed: int = 7,
    *,
    days: int = 30,
    attacks: int | None = None,
    text_keys: bool = False,
) -> pa.Table:
    """`n` labelled card transactions over `days` days, in time order; same arguments, same table.

    Columns: card int64 (text with `text_keys`), ts timestamp[us] (whole milliseconds), amount
    float64 (NULL for logins and PIN resets), merchant int32 (NULL where there is none), country,
    kind (purchase, refund, cash_out, login, pin_reset, transfer) and channel (pos, online, atm,
    app) as dictionary-encoded text; and the labels: fraud bool, scenario text and attack int32, the
    last two NULL where there is no fraud.

    Each of SCENARIOS is planted `attacks` times (default: n / 4000, but not on more than half of
    the cards), every attack on a card of its own; as often there is a harmless look-alike that
    differs in one point and has no label. Everyday amounts are log-normal with 3% below 2.00, cards
    follow Zipf's law, people sleep, travel and buy from foreign shops. Raises ValueError for fewer
    cards or rows than the attacks need.
    """
    if attacks is None:
        attacks = min(n // 4_000, cards // (4 * len(SCENARIOS)))
    rng = np.random.default_rng(seed)
    people = _people(rng, cards)
    planted = _planted(rng, people, attacks, days * DAY_US)
    if len(planted) > n:
        raise ValueError(f"{attacks} attacks of each kind are {len(planted)} rows, but n is {n}")
    everyday = _everyday(rng, people, n - len(planted), days)
    events = concatenate([everyday, planted])
    return _table(events.take(np.argsort(events.time_us, kind="stable")), text_keys)


def _people(rng: np.random.Generator, cards: int) -> Cards:
    return Cards(
        home=draw(rng, COUNTRY_WEIGHTS, cards),
        spending=rng.lognormal(0.0, CARD_LOG_DEVIATION, cards),
    )


def _planted(rng: np.random.Generator, people: Cards, attacks: int, span_us: int) -> Events:
    shape = (len(SCENARIOS), 2, attacks)
    needed, cards = int(np.prod(shape)), len(people.home)
    if needed > cards:
        raise ValueError(f"{attacks} attacks of each kind need {needed} cards, there are {cards}")
    victims = rng.permutation(cards)[:needed].reshape(shape)
    return plant(rng, people, victims, rng.integers(0, span_us - 2 * HOUR_US, shape))


def _everyday(rng: np.random.Generator, people: Cards, n: int, days: int) -> Events:
    cards = len(people.home)
    card = rng.permutation(cards)[draw(rng, zipf_weights(cards, 0.8, offset=10), n)]
    kind = draw(rng, KIND_WEIGHTS, n)
    online = (kind == PURCHASE) & (rng.random(n) < ONLINE_PURCHASES)
    amount = people.spending[card] * rng.lognormal(AMOUNT_LOG_MEAN, EVENT_LOG_DEVIATION, n)
    merchant = draw(rng, zipf_weights(MERCHANTS, 0.7), n)
    country, time_us = _whereabouts(rng, people, card, _daily_times(rng, n, days), days)
    foreign = online & (rng.random(n) < ABROAD_ONLINE)
    country[foreign] = draw(rng, COUNTRY_WEIGHTS, int(foreign.sum()))
    amount[(kind == LOGIN) | (kind == PIN_RESET)] = np.nan
    merchant[kind > 1] = NONE  # only purchases and refunds have one
    channel = np.where(online, ONLINE, CHANNEL_OF_KIND[kind])
    return make_events(
        card, time_us, kind=kind, channel=channel, country=country, amount=amount, merchant=merchant
    )


def _daily_times(rng: np.random.Generator, n: int, days: int) -> Ints:
    """Times since the start, fewer by night than by day."""
    hour = draw(rng, HOUR_WEIGHTS, n)
    return rng.integers(0, days, n) * DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, n)


def _whereabouts(
    rng: np.random.Generator, people: Cards, card: Ints, time_us: Ints, days: int
) -> tuple[Ints, Ints]:
    """The country of each event and its time, moved out of the hours that its owner is in the air.

    Who travels does so once: there, a few days abroad, and back.
    """
    cards = len(people.home)
    away = rng.integers(DAY_US, max(days, 2) * DAY_US, cards)  # no flight before the first event
    back = away + rng.integers(DAY_US, 5 * DAY_US, cards)
    abroad = draw(rng, COUNTRY_WEIGHTS, cards)
    travels = (rng.random(cards) < TRAVELLERS)[card]
    leaving = travels & (time_us >= away[card] - FLIGHT_US) & (time_us < away[card])
    landing = travels & (time_us >= back[card]) & (time_us < back[card] + FLIGHT_US)
    is_abroad = travels & (time_us >= away[card]) & (time_us < back[card])
    moved = time_us + FLIGHT_US * (landing.astype(np.int64) - leaving)
    country = np.where(is_abroad, abroad[card], people.home[card])
    return country, np.minimum(moved, days * DAY_US - 1)


def _table(events: Events, text_keys: bool) -> pa.Table:
    fraud = events.scenario != NONE
    cards = FIRST_CARD + events.card * 7_919  # ids with gaps, as issued numbers have
    return pa.table(
        {
            "card": pa.array(cards.astype(str) if text_keys else cards),
            "ts": pa.array(START_US + events.time_us // 1_000 * 1_000, type=pa.timestamp("us")),
            "amount": _nullable(events.amount, np.isnan(events.amount)),
            "merchant": _nullable(events.merchant.astype(np.int32), events.merchant == NONE),
            "country": text_column(events.country, COUNTRIES),
            "kind": text_column(events.kind, KINDS),
            "channel": text_column(events.channel, CHANNELS),
            "fraud": pa.array(fraud),
            "scenario": text_column(events.scenario, SCENARIOS, absent=~fraud),
            "attack": _nullable(events.attack.astype(np.int32), ~fraud),
        }
    )


def _nullable(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_]) -> pa.Array[Any]:
    column: pa.Array[Any] = pa.array(values, mask=absent)
    return column
