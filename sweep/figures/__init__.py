"""Numbers as pictures: small SVGs that suit a light and a dark page.

`drawing` holds what they share; `scores`, `grid` and `classification` the pictures. Imports neither torch nor ray.
"""
