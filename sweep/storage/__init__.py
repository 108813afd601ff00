"""Whole files under a storage path, written atomically: the only room that touches it.

    base.py        what a storage can do, and what follows from that for every kind
    local.py       a folder of a file system that all who use it share
    objects.py     a prefix of a bucket in an S3 object store
    s3.py          the client of a bucket: addresses, credentials, errors and retries
    segments.py    lines that are added to a file of a store that cannot append

Imports neither torch nor ray; pyarrow only when a bucket is used.
"""

import os
import re

from sweep.errors import StorageError
from sweep.storage.base import Storage
from sweep.storage.local import LocalStorage


def open_storage(root: str | os.PathLike[str]) -> Storage:
    """Gives the storage of a path or a URI `s3://bucket/prefix`; nothing is read or written yet.

    Raises:
        StorageError: for another kind of URI, or one with credentials or options that it cannot have.
    """
    text = os.fspath(root)
    if not text or "\0" in text:
        raise StorageError(f"{text!r} is no storage; give a folder or s3://bucket/prefix")
    if text.startswith("s3://"):
        from sweep.storage.objects import ObjectStorage
        from sweep.storage.s3 import Bucket

        bucket, prefix = Bucket.of(text)
        return ObjectStorage(bucket, prefix)
    if scheme := re.match(r"([A-Za-z][\w+.-]+):/", text):  # also with one slash: what follows may be a secret
        raise StorageError(f"storage {scheme[1]}:// is not supported; give a folder or s3://bucket/prefix")
    return LocalStorage(root)


__all__ = ["LocalStorage", "Storage", "open_storage"]
