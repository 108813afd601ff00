"""Whole files under a storage path, written atomically: the only room that touches it.

Imports neither torch nor ray; pyarrow only when a bucket is used.
"""

import os
import re

from sweep.errors import StorageError
from sweep.storage.base import Storage
from sweep.storage.local import LocalStorage


def open_storage(root: str | os.PathLike[str]) -> Storage:
    """The storage of a path or a URI `s3://bucket/prefix`; nothing is read or written yet.

    StorageError for another kind of URI, or one with credentials or options that it cannot have.
    """
    text = os.fspath(root)
    if not text or "\0" in text:
        raise StorageError(f"{text!r} is no storage; give a folder or s3://bucket/prefix")
    if text.startswith("s3://"):
        from sweep.storage.s3 import ObjectStorage

        return ObjectStorage(text)
    if scheme := re.match(r"([A-Za-z][\w+.-]+):/", text):  # also with one slash: what follows may be a secret
        raise StorageError(f"storage {scheme[1]}:// is not supported; give a folder or s3://bucket/prefix")
    return LocalStorage(root)


__all__ = ["LocalStorage", "Storage", "open_storage"]
