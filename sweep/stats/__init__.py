"""What a set of scores supports, and what it does not: pure functions from arrays to results.

Nothing here reads a file, draws a picture or keeps state; `torch`, `ray` and the rest of `sweep` are not
imported, and randomness comes from the generator a caller passes.

Axis letters: K configurations (grid points), S seeds, N images, B blocks (data sets). A score matrix `[K, S]`
holds one number per configuration and seed, accuracies in [0, 1]; a value that is NaN or infinite is missing.

Every result carries `cannot`: empty, or one sentence that says what these data cannot tell and why. Few
seeds, no spread and missing trials are answers, not errors; `ValueError` is for arguments that make no sense.
Configurations with identical numbers are one piece of evidence: give one of each group (`representatives`).
"""

from sweep.stats.comparisons import BestSet, all_pairs, best_set, tukey_difference
from sweep.stats.crossed import crossed_bootstrap
from sweep.stats.distributions import t_quantile
from sweep.stats.effects import LevelEffect, TermEffects
from sweep.stats.factors import AnovaRow, FactorEffects, factor_effects
from sweep.stats.identical import representatives, twins
from sweep.stats.intervals import Interval, mean_interval, prediction_interval
from sweep.stats.letters import compact_letters
from sweep.stats.pairs import Equivalence, McNemar, PairedTest, equivalence, holm, mcnemar, paired_t
from sweep.stats.pareto import pareto_front
from sweep.stats.power import power_line, seeds_to_resolve
from sweep.stats.ranks import CriticalDifference, critical_difference

__all__ = [
    "AnovaRow",
    "BestSet",
    "CriticalDifference",
    "Equivalence",
    "FactorEffects",
    "Interval",
    "LevelEffect",
    "McNemar",
    "PairedTest",
    "TermEffects",
    "all_pairs",
    "best_set",
    "compact_letters",
    "critical_difference",
    "crossed_bootstrap",
    "equivalence",
    "factor_effects",
    "holm",
    "mcnemar",
    "mean_interval",
    "paired_t",
    "pareto_front",
    "power_line",
    "prediction_interval",
    "representatives",
    "seeds_to_resolve",
    "t_quantile",
    "tukey_difference",
    "twins",
]
