"""A data set by name: its splits as arrays, its hash, and what a reader needs to know of it.

    dataset.py    scaled, split and hashed
    raw.py        as it was read; the rule of the validation split
    idx.py        MNIST and the sets that torchvision downloads
    arrays.py     digits and a user's own arrays

Arrays are numpy's, so that Ray's object store hands them to the workers without a copy. Axis letters: N images,
D inputs.
"""

from sweep.datasets.dataset import Dataset, Split, load_dataset
from sweep.datasets.idx import cache_folder
from sweep.datasets.raw import validation_indices

__all__ = ["Dataset", "Split", "cache_folder", "load_dataset", "validation_indices"]
