"""A prefix of a bucket as a storage: each file is one object, written by one atomic put.

What differs from a folder, because an object store offers less through pyarrow (26.0):

- No put that fails if the object exists. `create` looks, writes, waits and reads back: of writers that begin within
  `_SETTLE_S` of each other the last one wins, and the others notice. A writer held up for longer between its look and
  its put may win late; the lock's heartbeat then tells the first holder. Two writers of a trial write the same numbers.
- No renaming and no appending: what `base.py` makes of the five methods has to do.
- pyarrow leaves an empty object `folder/` where it deletes a file, as "Create folder" in a console does.
- An upload of more than 10 MB that is killed leaves invisible parts; a lifecycle rule of the bucket removes them.

Credentials come from where S3 clients take them: `AWS_ACCESS_KEY_ID` and so on, the files in `~/.aws`, the role of
the machine. They are never part of a storage path, which is written down. The endpoint of a store that is not
Amazon's comes from the URI (`?endpoint_override=`), `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or the profile.
"""

import configparser
import contextlib
import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from sweep.errors import StorageError
from sweep.storage.base import ABANDONED_AFTER_S, TEMPORARY, Storage

Answer = TypeVar("Answer")

PATIENCE_S = 60.0
# For an address where nothing has ever answered, and for a store that has just been given up.
IMPATIENCE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 8.0
_ATTEMPTS_OF_CLIENT = 2
_SETTLE_S = 1.0
_CONNECT_TIMEOUT_S, _SILENCE_TIMEOUT_S = 5.0, 10.0

# Each with what it may be and an example: what does not match is perhaps a secret, and is not repeated.
_OPTIONS = {
    "endpoint_override": (r"(https?://)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[\w./-]*)?", "http://host:9000"),
    "region": (r"[\w-]+", "eu-west-1"),
    "scheme": (r"https?", "http or https"),
}
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile in ~/.aws, or the role of the machine"
# Trying again cannot help, and the user can do something about each.
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


class ObjectStorage(Storage):
    """The objects below a prefix of a bucket.

    Args:
        bucket: Of the objects; shared by the storages of its folders.
        prefix: Without slashes at its ends; "" is the whole bucket.
    """

    # An object store checks what it receives and what it keeps.
    keeps_checksums = True

    def __init__(self, bucket: "Bucket", prefix: str) -> None:
        super().__init__(prefix)
        self._bucket = bucket

    def __str__(self) -> str:
        return self._bucket.uri(self._root)

    def read(self, path: str) -> bytes:
        """Gives an object's content."""

        def request(filesystem: Any, place: str) -> bytes:
            with filesystem.open_input_file(place) as file:
                content: bytes = file.read()
            return content

        return self._bucket.ask(self._at(path), request)

    def write(self, path: str, content: bytes) -> None:
        """Writes an object by one atomic put."""

        def request(filesystem: Any, place: str) -> None:
            stream = filesystem.open_output_stream(place, compression=None)
            stream.write(content)
            stream.close()

        self._bucket.ask(self._at(path), request)

    def create(self, path: str, content: bytes) -> bool:
        """Writes an object only if there is none; False, too, if another writer was later."""
        if self._read_or_none(path) is not None:  # a list of an S3-like store may be a little behind
            return False
        self.write(path, content)
        time.sleep(_SETTLE_S)
        return self._read_or_none(path) == content

    def entries(self, path: str) -> Iterable[str]:
        """Gives the names between the prefix and the next slash; a thousand per request."""
        return [info.base_name if info.is_file else f"{info.base_name}/" for info in self._listed(self._at(path)) or ()]

    def delete(self, path: str) -> None:
        """Removes an object."""
        with contextlib.suppress(FileNotFoundError):
            self._bucket.ask(self._at(path), lambda filesystem, place: filesystem.delete_file(place))

    def files(self, path: str = "") -> set[str]:
        """Asks for all objects below a prefix at once; a thousand per request, in however many folders they lie."""
        above = len(self._bucket.name) + len(self._at("x"))
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
        """Takes away, at the end, the empty objects `folder/` that came within for this storage.

        An object that another writer puts there between the look and the removal would go too: within milliseconds,
        and before it has an experiment there.
        """
        new, prefix = [], self._root
        while prefix and self._listed(prefix) is None:
            new.append(prefix)
            prefix = os.path.dirname(prefix)
        try:
            yield
        finally:
            with contextlib.suppress(StorageError, FileNotFoundError):
                for prefix in new:
                    if self._listed(prefix):
                        break
                    self._bucket.ask(prefix, lambda filesystem, place: filesystem.delete_dir(place))

    def _listed(self, prefix: str, *, recursive: bool = False) -> Sequence[Any] | None:
        """What pyarrow says of the objects below a prefix; None if there is nothing of that name, not even a marker."""

        def request(filesystem: Any, place: str) -> Sequence[Any]:
            from pyarrow import fs

            infos: Sequence[Any] = filesystem.get_file_info(fs.FileSelector(place, recursive=recursive))
            return infos

        try:
            return self._bucket.ask(prefix, request)
        except FileNotFoundError:
            return None


class Bucket:
    """A bucket, with the retries that an object store needs; opened when first used.

    Args:
        name: Of the bucket.
        options: Of the URI: endpoint_override, region, scheme.
    """

    def __init__(self, name: str, options: dict[str, str]) -> None:
        self.name = name
        self._options = options
        self._opened: Any = None
        self._answered = self._given_up = False
        self._random = random.Random()

    @classmethod
    def of(cls, uri: str) -> tuple["Bucket", str]:
        """Gives the bucket and the prefix of `s3://bucket/prefix?options`.

        Raises:
            StorageError: if it names no bucket, or has credentials or unknown options; these are not repeated.
        """
        try:
            parts = urlsplit(uri)
        except ValueError:
            raise StorageError("the --storage URI is none; write s3://bucket/prefix") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        # Users and passwords of URLs too, however often they are escaped.
        secret = any(word in option.lower() for option in options for word in ("key", "token", "secret", "password"))
        if secret or "@" in unquote(unquote(f"{parts.netloc}{parts.query}")):
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
        prefix = unquote(parts.path).strip("/")
        outside = bool(prefix) and not {"", ".", ".."}.isdisjoint(prefix.split("/"))
        if not re.fullmatch(r"[\w.-]+", parts.netloc, re.ASCII) or parts.fragment or outside:
            raise StorageError("the --storage URI names no bucket and prefix; write s3://bucket/prefix")
        return cls(parts.netloc, options), prefix

    def uri(self, prefix: str) -> str:
        """Gives the URI of a prefix, without credentials."""
        query = f"?{urlencode(self._options, safe=':/')}" if self._options else ""
        for character in "%?#":
            prefix = prefix.replace(character, quote(character))
        return f"s3://{self.name}/{prefix}{query}"

    def ask(self, key: str, request: Callable[[Any, str], Answer]) -> Answer:
        """Gives what a request to pyarrow's file system answers; tries again while trying again can help.

        Args:
            key: What it is about, for errors too.
            request: Takes the file system, and the key as pyarrow wants it, behind the bucket's name.

        Raises:
            FileNotFoundError: if there is no such object.
            StorageError: if the store refuses, or has not answered for about a minute.
        """
        start, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                answer = request(self._filesystem(), f"{self.name}/{key}".rstrip("/"))
            except FileNotFoundError:
                self._answered, self._given_up = True, False
                raise
            except OSError as error:
                problem = str(error)
                place = f"{self.uri(key)} from {socket.gethostname()}"
                if remedy := _remedy(problem):
                    if "No response body" in problem:
                        remedy = self._remedy_of_listing() or remedy
                    raise StorageError(f"cannot use {place}: {remedy}") from None
                if time.monotonic() + pause_s - start > self._patience_s(problem):
                    self._given_up = True
                    raise StorageError(
                        f"cannot reach {place} ({_brief(problem)}); check the network and AWS_ENDPOINT_URL, "
                        "then try again: nothing that was written is lost"
                    ) from None
            else:
                self._answered, self._given_up = True, False
                return answer
            time.sleep(pause_s * self._random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _remedy_of_listing(self) -> str:
        """Asks again in a way that is answered with a reason; a look at one object is not."""
        from pyarrow import fs

        try:
            self._filesystem().get_file_info(fs.FileSelector(self.name))
        except OSError as error:
            return _remedy(str(error))
        return ""

    def _patience_s(self, problem: str) -> float:
        nobody = not self._answered and any(sign in problem for sign in _NOBODY_THERE)
        return IMPATIENCE_S if nobody or self._given_up else PATIENCE_S

    def _filesystem(self) -> Any:
        if self._opened is None:
            from pyarrow import fs

            given = self._options.get
            endpoint = given("endpoint_override") or _setting("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            region = given("region") or _setting("region", "AWS_REGION", "AWS_DEFAULT_REGION")
            self._opened = fs.S3FileSystem(
                region=region or ("us-east-1" if endpoint else fs.resolve_s3_region(self.name)),
                endpoint_override=endpoint or None,
                scheme=given("scheme"),
                connect_timeout=_CONNECT_TIMEOUT_S,
                request_timeout=_SILENCE_TIMEOUT_S,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS_OF_CLIENT),
                allow_delayed_open=True,  # a file of up to 10 MB is one request
            )
        return self._opened


def _remedy(problem: str) -> str:
    return next((_REMEDIES[sign] for sign in _REMEDIES if sign in problem), "")


def _setting(key: str, *variables: str) -> str:
    """Gives what the environment says, else the profile in `~/.aws/config`; pyarrow reads no endpoint from it."""
    if given := next(filter(None, map(os.environ.get, variables)), ""):
        return given
    profiles = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        profiles.read(Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser())
        name = os.environ.get("AWS_PROFILE", "default")
        section = next((one for one in (f"profile {name}", name) if profiles.has_section(one)), "")
        return profiles.get(section, key, fallback="")
    return ""


def _brief(problem: str) -> str:
    """What went wrong, without what pyarrow was doing."""
    found = re.search(
        r"AWS Error (\w+(?: \(HTTP status \d+\))?) during \w+ operation: *(?:curlCode: \d+, )?(.*)", problem
    )
    words = " ".join(word.partition(";")[0] for word in found.groups()) if found else problem.partition("\n")[0]
    return words.strip()[:120]
