"""The options that name an endpoint, which the commands share, and the settings that they stand for."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.auth.basic import BasicAuth
from pyflink_prometheus.http.auth.scheme import BearerAuth
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.secret import Secret

_VERSIONS = {"auto": RemoteWriteVersion.AUTO, "1.0": RemoteWriteVersion.V1, "2.0": RemoteWriteVersion.V2}
_TLS = ("ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify")


def add_target_arguments(parser: argparse.ArgumentParser, url_option: str = "--url") -> None:
    """
    Add the options that name one endpoint: a URL with options for it, or an entry of a Prometheus configuration.

    :param parser: the command's.
    :param url_option: the name of the option for the URL.
    """
    group = parser.add_argument_group(
        "the endpoint", f"Either {url_option}, with options for it, or --config. Secrets are read from files."
    )
    way = group.add_mutually_exclusive_group(required=True)
    way.add_argument(url_option, dest="url", metavar="URL", help="such as http://localhost:9090/api/v1/write")
    way.add_argument("--config", metavar="FILE", help="a prometheus.yml, or a part of it with remote_write")
    group.add_argument("--name", help="the entry of remote_write in --config, if there are several")
    group.add_argument("--username", help="for basic authentication; with --password-file")
    group.add_argument("--password-file", metavar="FILE")
    group.add_argument("--bearer-token-file", metavar="FILE")
    group.add_argument(
        "--header",
        dest="headers",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header, such as X-Scope-OrgID:team; repeat it for several",
    )
    group.add_argument("--ca-file", metavar="FILE", help="the trusted authorities; default: REQUESTS_CA_BUNDLE")
    group.add_argument("--cert-file", metavar="FILE", help="the client certificate")
    group.add_argument("--key-file", metavar="FILE", help="the client certificate's key")
    group.add_argument("--server-name", metavar="NAME", help="the name that the certificate must cover")
    group.add_argument("--insecure-skip-verify", action="store_true", default=None, help="accept any certificate")
    group.add_argument("--proxy-url", metavar="URL", help="default: that of HTTPS_PROXY and the like")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="for one request; default 30")
    group.add_argument("--remote-write-version", choices=sorted(_VERSIONS), help="default: auto")


def target(args: argparse.Namespace) -> SinkConfig:
    """
    Return the settings of the endpoint that the options name.

    :param args: the parsed arguments of a parser with :func:`add_target_arguments`.
    :raises SystemExit: with status 2, after a message, if they cannot be used.
    """
    try:
        return SinkConfig(**(_of_url(args) if args.config is None else _of_configuration(args)))
    except (TypeError, ValueError) as error:
        problem = str(error)
    print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(2)


def _of_configuration(args: argparse.Namespace) -> dict[str, Any]:
    for option in ("username", "password_file", "bearer_token_file", "headers", "proxy_url", "timeout", *_TLS):
        if getattr(args, option):
            raise ValueError(f"remove --{option.removesuffix('s').replace('_', '-')}: with --config, it is set there")
    from pyflink_prometheus.configuration.stanza import read_remote_write  # noqa: PLC0415  YAML is for --config only

    settings = read_remote_write(args.config, args.name).settings
    return {**settings, **_version(args)}


def _of_url(args: argparse.Namespace) -> dict[str, Any]:
    if args.name is not None:
        raise ValueError("remove --name, or give --config: it names an entry of that file")
    settings: dict[str, Any] = {
        "prometheus_remote_write_url": args.url,
        "http_headers": _headers(args.headers),
        "request_signer": _signer(args),
        **_version(args),
    }
    tls = {option: getattr(args, option) for option in _TLS if getattr(args, option) is not None}
    if tls:
        settings["tls"] = TlsConfiguration(**tls)
    if args.proxy_url is not None:
        settings["proxy"] = ProxyConfiguration(proxy_url=args.proxy_url)
    if args.timeout is not None:
        settings["socket_timeout_ms"] = max(1, round(args.timeout * 1000))
    return settings


def _version(args: argparse.Namespace) -> dict[str, Any]:
    given = args.remote_write_version
    return {} if given is None else {"remote_write_version": _VERSIONS[given]}


def _signer(args: argparse.Namespace) -> BasicAuth | BearerAuth | None:
    if (args.username is None) != (args.password_file is None):
        raise ValueError("give both --username and --password-file, or none of them")
    if args.bearer_token_file is not None:
        if args.username is not None:
            raise ValueError("give --username or --bearer-token-file, not both")
        return BearerAuth(Secret.file(args.bearer_token_file))
    return None if args.username is None else BasicAuth(args.username, Secret.file(args.password_file))


def _headers(given: list[str]) -> dict[str, str]:
    """Return the headers; a message about one shows no part of it, since it may be a secret."""
    headers = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon:
            raise ValueError("--header: expected NAME:VALUE, got one without a colon")
        headers[name.strip()] = value.strip()
    return headers


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise ValueError
    return seconds
