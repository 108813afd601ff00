"""A prefix of a bucket as a storage: each file is one object, written by one atomic put.

What differs from a folder, because an object store offers less through pyarrow (26.0):

- No put that fails if the object exists. `create` looks, writes, waits and reads back: of writers that begin within
  `_SETTLE_S` of each other the last one wins, and the others notice. A writer held up for longer between its look and
  its put may win late; the lock's heartbeat then tells the first holder. Two writers of a trial write the same numbers.
- pyarrow leaves an empty object `folder/` where it deletes a file, as "Create folder" in a console does.

Credentials come from where S3 clients take them, and are never part of a storage path, which is written down.
"""

import configparser
import contextlib
import itertools
import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sweep.errors import StorageError
from sweep.storage.base import ABANDONED_AFTER_S, TEMPORARY, Storage

# The second for an address where nothing has ever answered, and for a store that has just been given up.
PATIENCE_S, IMPATIENCE_S = 60.0, 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _SETTLE_S = 0.2, 8.0, 1.0
_CONNECT_TIMEOUT_S, _SILENCE_TIMEOUT_S = 5.0, 10.0

# Each with what it may be and an example: what does not match is perhaps a secret, and is not repeated.
_OPTIONS = {
    "endpoint_override": (r"(https?://)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[\w./-]*)?", "http://host:9000"),
    "region": (r"[\w-]+", "eu-west-1"),
    "scheme": (r"https?", "http or https"),
}
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile in ~/.aws, or the role of the machine"
# What pyarrow says where trying again cannot help, and what the user can do about it; of several the first.
_REMEDIES = {
    "NO_SUCH_BUCKET": "there is no such bucket; make it, or check its name and AWS_ENDPOINT_URL",
    "ACCESS_DENIED": "permission denied; give credentials that may read, write, list and delete there: " + _CREDENTIALS,
    "INVALID_ACCESS_KEY_ID": "the access key is not known there; check " + _CREDENTIALS,
    "SIGNATURE_DOES_NOT_MATCH": "the secret key is not that of the access key; check " + _CREDENTIALS,
    "REQUEST_TIME_TOO_SKEWED": "the clock of this machine is wrong; set it",
    "HTTP status 403": "the credentials are refused, perhaps because they have expired; renew " + _CREDENTIALS,
    "HTTP status 401": "the credentials are refused; check " + _CREDENTIALS,
    "HTTP status 301": "the bucket is in another region; set AWS_REGION, or add ?region=... to the URI",
    "HTTP status 400": "the request is refused, perhaps because of the region or expired credentials; "
    "set AWS_REGION, and check " + _CREDENTIALS,
    "RESOURCE_NOT_FOUND": "what answers there is no S3 store; check AWS_ENDPOINT_URL",
}
_NOBODY_THERE = ("Could not resolve host", "Could not connect to server")
_JITTER = random.Random()


class ObjectStorage(Storage):
    """The objects below a prefix of a bucket, given as `s3://bucket/prefix?options`."""

    keeps_checksums = True

    def __init__(self, uri: str) -> None:
        self._bucket, prefix, self._options = _parts(uri)
        super().__init__(prefix)
        # Shared with the storages of folders. Of `answers`: None before the first, False once the store is given up.
        self._client = SimpleNamespace(filesystem=None, answers=None)

    def __str__(self) -> str:
        return self._uri(self._root)

    def read(self, path: str) -> bytes:
        """An object's content."""
        return bytes(self._ask(self._at(path), lambda filesystem, key: filesystem.open_input_file(key).read()))

    def write(self, path: str, content: bytes) -> None:
        """Writes an object by one atomic put."""

        def put(filesystem: Any, key: str) -> None:
            stream = filesystem.open_output_stream(key, compression=None)
            stream.write(content)
            stream.close()  # not where writing fails: a part of the content would be the object

        self._ask(self._at(path), put)

    def create(self, path: str, content: bytes) -> bool:
        """Writes an object only if there is none; False, too, if another writer was later."""
        if self._read_or_none(path) is not None:  # a list of an S3-like store may be a little behind
            return False
        self.write(path, content)
        time.sleep(_SETTLE_S)
        return self._read_or_none(path) == content

    def entries(self, path: str) -> Iterable[str]:
        """The names between the prefix and the next slash; a thousand per request."""
        return [info.base_name if info.is_file else f"{info.base_name}/" for info in self._listed(self._at(path)) or ()]

    def delete(self, path: str) -> None:
        """Removes an object."""
        with contextlib.suppress(FileNotFoundError):
            self._ask(self._at(path), lambda filesystem, key: filesystem.delete_file(key))

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Lists first, if there are several, then reads several at a time those that are there."""
        there = self.files(os.path.commonpath(map(os.path.dirname, paths))) if len(paths) > 1 else paths
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(lambda path: self._read_or_none(path) if path in there else None, paths)

    def files(self, path: str = "") -> set[str]:
        """Asks for all objects below a prefix at once; a thousand per request, in however many folders they lie."""
        above = len(self._bucket) + len(self._at("x"))
        infos = self._listed(self._at(path), recursive=True) or ()
        return {info.path[above:] for info in infos if info.is_file and not info.base_name.startswith(TEMPORARY)}

    def remove_abandoned(self) -> None:
        """Removes probes that killed drivers left, an hour after they were written."""
        now = datetime.now(UTC)
        for info in self._listed(self._root) or ():
            if info.base_name.startswith(TEMPORARY) and (now - info.mtime).total_seconds() > ABANDONED_AFTER_S:
                self.delete(info.base_name)

    @contextlib.contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Takes away, at the end, the empty objects `folder/` that came within for this storage."""
        new, prefix = [], self._root
        while prefix and self._listed(prefix) is None:
            new.append(prefix)
            prefix = os.path.dirname(prefix)
        try:
            yield
        finally:
            with contextlib.suppress(StorageError, FileNotFoundError):
                for prefix in itertools.takewhile(lambda prefix: not self._listed(prefix), new):
                    # What another writer puts there within these milliseconds goes too: it has no experiment there yet.
                    self._ask(prefix, lambda filesystem, key: filesystem.delete_dir(key))

    def _listed(self, prefix: str, *, recursive: bool = False) -> Any:
        """What pyarrow says of the objects below a prefix; None if there is nothing of that name, not even a marker."""
        try:
            return self._ask(prefix, lambda filesystem, key: _list(filesystem, key, recursive))
        except FileNotFoundError:
            return None

    def _uri(self, prefix: str) -> str:
        query = f"?{urlencode(self._options, safe=':/')}" if self._options else ""
        return f"s3://{self._bucket}/{re.sub('[%?#]', lambda found: quote(found[0]), prefix)}{query}"

    def _ask(self, prefix: str, request: Callable[[Any, str], Any]) -> Any:
        """What a request to pyarrow's file system answers about a key, which is the bucket's name and the prefix.

        Raises FileNotFoundError if there is no such object; what may be a passing fault is tried again for a minute.
        """
        start, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                answer = request(self._filesystem(), f"{self._bucket}/{prefix}".rstrip("/"))
                self._client.answers = True
                return answer
            except FileNotFoundError:
                self._client.answers = True
                raise
            except OSError as error:
                problem = str(error)
            place = f"{self._uri(prefix)} from {socket.gethostname()}"
            if remedy := self._remedy(problem):
                raise StorageError(f"cannot use {place}: {remedy}")
            nobody = self._client.answers is None and any(sign in problem for sign in _NOBODY_THERE)
            patience_s = IMPATIENCE_S if nobody or self._client.answers is False else PATIENCE_S
            if time.monotonic() + pause_s - start > patience_s:
                self._client.answers = False
                said = problem.rpartition("AWS Error ")[2].partition("\n")[0].partition(";")[0]
                raise StorageError(
                    f"cannot reach {place} ({said[:120]}); check the network and AWS_ENDPOINT_URL, "
                    "then try again: nothing that was written is lost"
                )
            time.sleep(pause_s * _JITTER.uniform(0.5, 1))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _remedy(self, problem: str) -> str:
        """What the user can do, "" where trying again may help."""
        known = [remedy for sign, remedy in _REMEDIES.items() if sign in problem]
        if known and "No response body" in problem:  # of a look at one object; a list is refused with a reason
            try:
                _list(self._filesystem(), self._bucket)
            except OSError as error:
                known = [remedy for sign, remedy in _REMEDIES.items() if sign in str(error)] + known
        return known[0] if known else ""

    def _filesystem(self) -> Any:
        if self._client.filesystem is None:
            from pyarrow import fs

            given = self._options.get
            endpoint = given("endpoint_override") or _setting("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            region = given("region") or _setting("region", "AWS_REGION", "AWS_DEFAULT_REGION")
            self._client.filesystem = fs.S3FileSystem(
                region=region or ("us-east-1" if endpoint else fs.resolve_s3_region(self._bucket)),
                endpoint_override=endpoint or None,
                scheme=given("scheme"),
                connect_timeout=_CONNECT_TIMEOUT_S,
                request_timeout=_SILENCE_TIMEOUT_S,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
                allow_delayed_open=True,  # a file of up to 10 MB is one request
            )
        return self._client.filesystem


def _list(filesystem: Any, key: str, recursive: bool = False) -> Any:
    from pyarrow.fs import FileSelector

    return filesystem.get_file_info(FileSelector(key, recursive=recursive))


def _parts(uri: str) -> tuple[str, str, dict[str, str]]:
    """Bucket, prefix and options of a URI; what may be a secret in it is refused, and not repeated."""
    place, _, query = uri.partition("?")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    prefix = unquote(prefix).strip("/")
    options = dict(parse_qsl(query, keep_blank_values=True))
    secret = re.search("key|token|secret|password", " ".join(options), re.IGNORECASE)
    # Users and passwords of URLs too, however often they are escaped.
    if secret or "@" in unquote(unquote(bucket + query)):
        raise StorageError(
            "the --storage URI has credentials in it, which would be written down; leave them out and give "
            + _CREDENTIALS
        )
    for option, value in options.items():
        if option not in _OPTIONS:
            name = f" {option!r}" if re.fullmatch("[a-z_]+", option) else ""
            raise StorageError(f"unknown option{name} in the --storage URI; choose from {', '.join(_OPTIONS)}")
        pattern, example = _OPTIONS[option]
        if not re.fullmatch(pattern, value, re.ASCII):
            raise StorageError(f"the --storage URI has a {option} that cannot be one; write {example}")
    outside = prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/"))
    if not re.fullmatch(r"[\w.-]+", bucket, re.ASCII) or "#" in uri or outside:
        raise StorageError("the --storage URI names no bucket and prefix; write s3://bucket/prefix")
    return bucket, prefix, options


def _setting(key: str, *variables: str) -> str:
    """What the environment says, else the profile in `~/.aws/config`, where pyarrow looks for no endpoint."""
    if given := next(filter(None, map(os.environ.get, variables)), ""):
        return given
    profiles = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        profiles.read(Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser())
    name = os.environ.get("AWS_PROFILE", "default")
    section = f"profile {name}" if profiles.has_section(f"profile {name}") else name
    return profiles.get(section, key, fallback="")
