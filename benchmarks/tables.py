"""Tables in Markdown that benchmarks share: recall and mean recall at 50 / 100, differences with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.figures import Counts, difference, figures

MEASURES = {"recall": "R@50 / R@100", "mean_recall": "mR@50 / mR@100"}  # of metrics.figures; mean: over predicates
NS = ("50", "100")


def table(title: str, rows: Sequence[Sequence[str]]) -> str:
    """A title and a table whose first row is its head."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([title, "", head, "| --- " * len(rows[0]) + "|", *body, ""])


def share(counts: Counts, measure: str = "recall") -> str:
    """A measure at 50 / 100, per cent."""
    values = figures(counts)[measure]
    return " / ".join(f"{values[n]:.1f}" for n in NS)


def interval(one: Counts, other: Counts, measure: str = "recall") -> str:
    """A measure of one less the other's at 50, 100: points, with 95 % intervals over images drawn for both."""
    values = difference(one, other)
    bounds = values[f"{measure}_interval"]
    return ", ".join(f"{values[measure][n]:+.2f} [{bounds[n][0]:.2f}, {bounds[n][1]:.2f}]" for n in NS)
