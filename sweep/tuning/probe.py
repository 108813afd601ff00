"""Asks the head of a Ray cluster what a driver must know before it joins.

Runs as a program of its own, `python probe.py ADDRESS`, because Ray's client waits without end for a head that does
not speak, and writes to the process's standard error: both end with this process. Prints one line of JSON:
`{"address": "host:port", "tokens": whether it wants tokens, "problem": "" or "missing" or "wrong"}`.
"""

import json
import os
import sys
from typing import Any


def main(address: str) -> None:
    """Prints what is found; ends with an error if no head is found or it refuses for another reason."""
    os.environ["RAY_AUTH_MODE"] = "disabled"  # a token goes only to a cluster that asks for one
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    found: dict[str, Any] = {"address": canonicalize_bootstrap_address_or_die(address), "tokens": False, "problem": ""}
    try:
        GcsClient(address=found["address"])
    except AuthenticationError:
        found["tokens"] = True
        os.environ["RAY_AUTH_MODE"] = "token"
        Config.initialize("")
        if AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
            try:
                GcsClient(address=found["address"])
            except AuthenticationError:
                found["problem"] = "wrong"
        else:
            found["problem"] = "missing"
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
