"""adiabat.formats.policies: what to ask of a variable nobody gave a bound for, by tables with their sources.

    variable -> quantity (standard name, short name, level, units) -> rule of a policy, in the variable's units

Stage: planning. ``quantities.toml`` says how a variable is recognised; ``recommended.toml``, ``ensemble-spread.toml``
and the tables of users say what is asked of it.
"""

from __future__ import annotations

from adiabat.formats.policies.policy import Policy
from adiabat.formats.policies.rule import Rule

__all__ = ["Policy", "Rule"]
