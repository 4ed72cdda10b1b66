"""
Amazon's Signature Version 4 of a request, implemented from its documentation with only the standard library.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from urllib.parse import quote

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")


def signature(method, target, headers, body, *, secret_key, scope, signed_headers):
    """
    Return the signature of a request.

    :param target: the request's target, as it is sent.
    :param headers: all headers, by their names in lower case.
    :param scope: the credential's scope: date, region, service and ``aws4_request``.
    :param signed_headers: the names of the signed headers, separated by semicolons.
    """
    path, _, query = target.partition("?")
    clean = posixpath.normpath(path or "/").replace("//", "/")
    clean += "/" if path.endswith("/") and not clean.endswith("/") else ""
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in query.split("&")) if query else []
    canonical = [
        method,
        quote(clean, safe="/-_.~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed_headers.split(";")),
        "",
        signed_headers,
        hashlib.sha256(body).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret_key}".encode()
    for part in [*scope.split("/"), text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def problem_of(method, target, headers, body, secret_keys):
    """
    Return why a receiver refuses a request, "" if it accepts it.

    :param headers: all headers, by their names in lower case.
    :param secret_keys: the secret keys that the receiver knows, by (access key's ID, session token or None).
    """
    parts = AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if parts is None:
        return "MissingAuthenticationToken"
    access_key, _, scope = parts[1].partition("/")
    secret_key = secret_keys.get((access_key, headers.get("x-amz-security-token")))
    if secret_key is None:
        return "UnrecognizedClientException"
    must = {"host", *(name for name in headers if name.startswith("x-amz-") or name == "content-type")}
    if not must <= set(parts[2].split(";")) or not headers["x-amz-date"].startswith(scope[:8]):
        return "IncompleteSignature"
    expected = signature(method, target, headers, body, secret_key=secret_key, scope=scope, signed_headers=parts[2])
    return "" if hmac.compare_digest(expected, parts[3]) else "InvalidSignatureException"
