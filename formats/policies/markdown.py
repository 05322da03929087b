"""The tables of the named policies as Markdown, for the guide: ``python -m adiabat.formats.policies.markdown``.

Stage: documentation; `spec/guide/policy.md` holds what this prints, and a test compares them.
"""

from __future__ import annotations

from adiabat.formats.policies.quantity import Quantity, quantities
from adiabat.formats.policies.rule import Range, Rule
from adiabat.formats.policies.table import NAMED, Table, read_named
from adiabat.formats.policy import format_bound

__all__ = ["policy_tables"]


def policy_tables() -> str:
    """A table for each policy, in the order of the quantities.

    Examples
    --------
    >>> "| t | temperature | levels | K | abs:0.05 |" in policy_tables()
    True
    """
    return "\n\n".join(_table(read_named(name)) for name in NAMED)


def _table(table: Table) -> str:
    lines = [f"### {table.name}", "", f"{table.title}: {table.source}.", ""]
    lines += [
        "| key | quantity | level | units | bound | mean | limits | remarks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for quantity in quantities():
        if quantity.key in table.quantities:
            lines.append(_row(quantity, table.quantities[quantity.key].rule, table.source))
    if table.extends:
        lines += ["", f"Everything else is as in `{table.extends}`."]
    return "\n".join(lines)


def _row(quantity: Quantity, rule: Rule, source: str) -> str:
    """One quantity; what is the same for the whole table is left out."""
    mean = "" if rule.mean is None else f"{rule.mean:g}"
    if mean and isinstance(rule.bound, dict) and "rel" in rule.bound:
        mean = f"{100 * (rule.mean or 0):g} %"
    remark = rule.source.removeprefix(source).removeprefix("; ")
    also = ", ".join(f"1 {unit} is {count:g} {quantity.units}" for unit, count in quantity.also.items())
    cells = (
        quantity.key, quantity.label, quantity.level, quantity.units, format_bound(rule.bound), mean,
        _limits(rule.valid_range or quantity.limits), "; ".join(each for each in (remark, also) if each),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _limits(limits: Range | None) -> str:
    if limits is None:
        return ""
    low, high = limits
    return f">= {low:g}" if high is None else f"{low:g} to {high:g}"


if __name__ == "__main__":
    print(policy_tables())
