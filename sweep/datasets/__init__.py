"""A data set by name: its splits as arrays, its hash, and what a reader needs to know of it.

    dataset.py    scaled, split, hashed and described
    raw.py        as it was read; the rule of the validation split
    idx.py        MNIST and the sets that torchvision downloads
    digits.py     the 8x8 digits
    npz.py        a user's own arrays
    summary.py    what its values and classes are, and what looks doubtful

Arrays are numpy's, so that Ray's object store hands them to the workers without a copy. Axis letters: N images,
D inputs.
"""

from sweep.datasets.dataset import Dataset, Split, data_files, file_states, load_dataset
from sweep.datasets.idx import cache_folder
from sweep.datasets.raw import validation_indices

__all__ = ["Dataset", "Split", "cache_folder", "data_files", "file_states", "load_dataset", "validation_indices"]
