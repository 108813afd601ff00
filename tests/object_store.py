"""A real S3 server on the loopback, and a proxy before it that makes faults happen: real sockets, real requests."""

import contextlib
import http.client
import http.server
import os
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3

ACCESS_KEY = "AKIAKNOWNTOTHESTORE0"
_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_REFUSALS = {
    "AccessDenied": (403, "Access Denied"),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match."),
    "ExpiredToken": (400, "The provided token has expired."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "SlowDown": (503, "Please reduce your request rate."),
}


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """Starts a server in a process of its own and gives its port."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin
    assert server.stdout
    yield int(server.stdout.readline())
    server.stdin.close()
    server.kill()
    server.wait(10)
    server.stdout.close()


@dataclass
class Fault:
    """What happens to requests: an error code of S3, or `reset`, `stall`, `slow`, `lost` (done, but the answer is not).

    Attributes:
        kind: See above.
        times: How often; each retry counts.
        every: Only one of so many requests that match.
        method: Of the request, any without it.
        path: A pattern found in its path and query.
        delay_s: Of slow answers.
    """

    kind: str
    times: int = 1
    every: int = 1
    method: str = ""
    path: str = ""
    delay_s: float = 0.2
    seen: int = 0
    happened: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if self.happened == self.times or self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.happened += 1
        return True


class Bucket:
    """A new bucket of the server, reached through a proxy of its own."""

    def __init__(self, server_port: int) -> None:
        self.name = f"bucket-{secrets.token_hex(4)}"
        self.secret = secrets.token_hex(20)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.server_port = server_port
        self._proxy = _Proxy(("127.0.0.1", 0), _Handler)
        self._proxy.bucket = self
        threading.Thread(target=self._proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{server_port}",
            region_name="us-east-1",
            aws_access_key_id="inspector",
            aws_secret_access_key="inspector",
        )
        self._client.create_bucket(Bucket=self.name)

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/team/sweeps"

    @property
    def environment(self) -> dict[str, str]:
        """Of processes that use the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._proxy.server_port}",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "no_proxy": "127.0.0.1",
        }

    def objects(self) -> dict[str, bytes]:
        """Every object by its key, as the server has it."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [row["Key"] for page in pages for row in page.get("Contents", [])]
        return {key: self._client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}

    def file_keys(self) -> list[str]:
        """The keys of all objects, without the empty `folder/` that pyarrow leaves where it deletes."""
        return [key for key, content in self.objects().items() if content or not key.endswith("/")]

    def unfinished_uploads(self) -> int:
        return len(self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def close(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._client.close()


class _Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    bucket: Bucket

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed leave their connections."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, *words: object) -> None:
        pass

    def _handle(self) -> None:
        bucket = self.server.bucket
        body = self._body()
        with bucket.lock:
            bucket.requests.append((self.command, self.path))
            fault = next((fault for fault in bucket.faults if fault.strikes(self.command, self.path)), None)
        kind = fault.kind if fault else ""
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        if kind == "reset":
            self._reset()
        elif kind == "stall":
            time.sleep(60)
        elif kind in _REFUSALS:
            self._refuse(kind)
        elif not signed:
            self._refuse("AccessDenied")
        elif signed[1] != ACCESS_KEY:
            self._refuse("InvalidAccessKeyId")
        else:
            if kind == "slow" and fault:
                time.sleep(fault.delay_s)
            self._forward(body, lost=kind == "lost")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _body(self) -> bytes:
        """The body as it is on the wire: clients send it in chunks with a checksum at the end."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body, size = b"", -1
        while size:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            body += line + (self.rfile.read(size + 2) if size else b"")
        while True:
            line = self.rfile.readline()
            body += line
            if line.strip() == b"":
                return body

    def _forward(self, body: bytes, *, lost: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.bucket.server_port, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for header, value in self.headers.items():
            if header.lower() != "expect":
                connection.putheader(header, value)
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        content = answer.read()
        size = answer.getheader("Content-Length") if self.command == "HEAD" else None
        headers = {key: value for key, value in answer.getheaders() if key.lower() not in _HOP_BY_HOP}
        connection.close()
        if lost:
            self._reset()
        else:
            self._answer(answer.status, {**headers, "Content-Length": size or str(len(content))}, content)

    def _refuse(self, code: str) -> None:
        status, message = _REFUSALS[code]
        content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._answer(status, {"Content-Type": "application/xml", "Content-Length": str(len(content))}, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive"}
