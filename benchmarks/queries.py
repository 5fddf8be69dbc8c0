"""The queries that are measured, as rule text."""

from __future__ import annotations

STREAM = "stream transactions time ts;\n"

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
