"""Numbers as pictures: small SVGs that suit a light and a dark page.

`drawing` holds what they share; `scores`, `grid` and `classification` the pictures. Imports neither torch nor ray.
"""

from sweep.figures.classification import confusion_matrix, difference_matrix, image_strip, shares, wall
from sweep.figures.drawing import Palette, Picture, broken
from sweep.figures.grid import Cost, Curve, cost, heat_map, learning_curves
from sweep.figures.scores import Bar, critical_difference_diagram, interactions, main_effects, ranking

__all__ = [
    "Bar",
    "Cost",
    "Curve",
    "Palette",
    "Picture",
    "broken",
    "confusion_matrix",
    "cost",
    "critical_difference_diagram",
    "difference_matrix",
    "heat_map",
    "image_strip",
    "interactions",
    "learning_curves",
    "main_effects",
    "ranking",
    "shares",
    "wall",
]
