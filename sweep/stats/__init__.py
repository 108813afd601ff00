"""What a set of scores supports, and what it does not: pure functions from arrays to results.

Nothing here imports `torch`, `ray` or the rest of `sweep`; randomness comes from the generator a caller passes.

Axis letters: K configurations, S seeds, N images, B blocks (data sets). A score matrix `[K, S]` holds one number per
configuration and seed; larger is better, always; NaN or infinite is missing, for reasons that have nothing to do with
the score. Configurations with identical numbers are one piece of evidence: give one of each group.

Every result carries `cannot`: empty, or why these data cannot tell. Few seeds, no spread and missing trials are
answers, not errors; `ValueError` is for arguments that make no sense: another shape, a `level` that is not in (0, 1).
"""

from sweep.stats.blocks import BlockedFit, blocked_fit
from sweep.stats.comparisons import Comparisons, compare
from sweep.stats.design import TermEffects
from sweep.stats.factors import FactorEffects, factor_effects
from sweep.stats.intervals import (
    Interval,
    chance_of_at_least,
    crossed_bootstrap,
    mean_interval,
    prediction_interval,
    share_interval,
)
from sweep.stats.pairs import NamedPair, detectable, named_pair, seeds_range
from sweep.stats.ranks import critical_difference, pareto_front
from sweep.stats.winner import Winner, selected, simultaneous_intervals

__all__ = [
    "BlockedFit",
    "Comparisons",
    "FactorEffects",
    "Interval",
    "NamedPair",
    "TermEffects",
    "Winner",
    "blocked_fit",
    "chance_of_at_least",
    "compare",
    "critical_difference",
    "crossed_bootstrap",
    "detectable",
    "factor_effects",
    "mean_interval",
    "named_pair",
    "pareto_front",
    "prediction_interval",
    "seeds_range",
    "selected",
    "share_interval",
    "simultaneous_intervals",
]
