"""The queries that are measured, as rule text."""

from __future__ import annotations

STREAM = "stream transactions time ts;\n"
DECLARED_STREAM = """stream transactions (
  card int, ts timestamp, amount float, merchant int, country text, kind text
) time ts;
"""

QUERIES = {
    "Q1": """
pattern q1 from transactions by card
  match small -> big
  within 10 minutes
  define small as amount < 2, big as amount > 500""",
    "Q2": """
pattern q2 from transactions by card
  match small{3,} -> big
  within 1 hour
  define small as amount < 2, big as amount > 500""",
    "Q3": """
pattern q3 from transactions by card
  match cash -> not login -> refund
  within 1 hour
  define cash as kind = 'cash_out' and amount > 300,
         login as kind = 'login',
         refund as kind = 'refund'""",
    "Q4": """
pattern q4 from transactions by card
  match a b
  within 10 minutes
  define a as true,
         b as amount > 10 * a.amount and country <> a.country""",
}

MEANING = {
    "Q1": "amount < 2, then amount > 500, within 10 min",
    "Q2": "at least three amounts < 2, then one > 500, within 1 h",
    "Q3": "cash-out over 300, no login, then a refund, within 1 h",
    "Q4": "the very next event over ten times the amount in another country, within 10 min",
}


def rules(name: str, *, skip: bool = True) -> str:
    """The rule file of one query; without `skip` every overlapping match is reported too."""
    return STREAM + QUERIES[name] + ("" if skip else "\n  after match no skip") + ";\n"


def many_rules(count: int) -> str:
    """`count` different patterns: the shapes of Q1 to Q4 in turn, each time with other limits.

    The limits differ by so little that all variants of a shape do about the same work.
    """
    return STREAM + "".join(_variant(number) for number in range(count))


def declared(text: str) -> str:
    """The same rules; they say which columns the stream has."""
    return text.replace(STREAM, DECLARED_STREAM, 1)


def one_rule(number: int) -> str:
    """The pattern of this number among `many_rules`, by itself."""
    return STREAM + _variant(number)


def _variant(number: int) -> str:
    shape, step = number % 4, number // 4
    amounts = f"small as amount < {2 - step / 500:.3f}, big as amount > {500 + step}"
    body = (
        f"match small -> big within 10 minutes define {amounts}",
        f"match small{{3,}} -> big within 1 hour define {amounts}",
        f"""match cash -> not login -> refund within 1 hour
  define cash as kind = 'cash_out' and amount > {300 + step}, login as kind = 'login',
         refund as kind = 'refund'""",
        f"""match a b within 10 minutes
  define a as true, b as amount > {10 + step / 50:.2f} * a.amount and country <> a.country""",
    )[shape]
    return f"pattern p{number} from transactions by card\n  {body};\n"


# ------------------------------------------------------------------ windows, features and state

EVENTS = "stream tx (card int, ts timestamp, amount float) time ts;\n"
MINUTES = {"tumbling 1 minute": 1, "sliding 10 minutes every 1 minute": 10}


def late_rules(name: str, seconds: int) -> str:
    """A query over a stream whose events come up to so much late."""
    return rules(name).replace("time ts;", f"time ts lateness {seconds} seconds;", 1)


def window_rules(window: str) -> str:
    """The rows of one aggregate, `total`."""
    return f"""{EVENTS}
aggregate total from tx by card
  window {window}
  select card, window_start, sum(amount) as total;
"""


def feature_rules(limit: float) -> str:
    """A match for each event that takes its card's hour above the limit."""
    return f"""{EVENTS}
feature spent on tx as sum(amount) over 1 hour by card;
pattern p from tx by card match much define much as spent > {limit};
"""


def surge_rules(factor: int) -> str:
    """A match for each event of a card whose amount is so many times that of the one before."""
    return f"""{EVENTS}
pattern p from tx by card match a b within 1 minute
  define a as true, b as amount > {factor} * a.amount;
"""


BOUNDED_SPENT = 150

BOUNDED = f"""{EVENTS}
feature spent on tx as sum(amount) over 1 minute by card;
aggregate total from tx by card window tumbling 1 minute select card, sum(amount) as total;
pattern p from tx by card
  match small{{2}} -> big
  within 1 minute
  define small as amount < 30, big as amount > 70 and spent > {BOUNDED_SPENT};
"""

OPEN_RUNS = f"""{EVENTS}
pattern p from tx by card match small -> big within 1 hour
  define small as amount < 5, big as amount > 95;
"""

KEYED = {
    "a pattern, a run for each key": OPEN_RUNS,
    "the same, keys are texts": OPEN_RUNS.replace("card int", "card text"),
    "a feature over 1 hour": feature_rules(99),
    "a window of 1 hour": window_rules("tumbling 1 hour"),
}
