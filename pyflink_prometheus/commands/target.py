"""The options that name an endpoint, which the commands share, and the resulting settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.auth.basic import BasicAuth
from pyflink_prometheus.http.auth.scheme import BearerAuth
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.secret import Secret

_VERSIONS = {"auto": RemoteWriteVersion.AUTO, "1.0": RemoteWriteVersion.V1, "2.0": RemoteWriteVersion.V2}
_TLS = ("ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify")


class Target(NamedTuple):
    """
    An endpoint that the options name.

    :param name: the name or the path of its entry in --config; "" if it is the only endpoint.
    :param config: its settings; if the sink cannot use them, its URL, without credentials.
    :param problem: why the sink cannot use them; "" if it can.
    """

    name: str
    config: SinkConfig | str
    problem: str = ""


def add_target_arguments(parser: argparse.ArgumentParser, url_option: str = "--url", without_name: str = "") -> None:
    """
    Add the options that name one endpoint: a URL and its options, or an entry of a Prometheus configuration.

    :param parser: the command's parser.
    :param url_option: the name of the option for the URL.
    :param without_name: what happens with several entries without --name, for the help; "" if --name is required.
    """
    group = parser.add_argument_group(
        "the endpoint", f"Either {url_option} and its options, or --config. Secrets are read from files."
    )
    way = group.add_mutually_exclusive_group(required=True)
    way.add_argument(url_option, dest="url", metavar="URL", help="such as http://localhost:9090/api/v1/write")
    way.add_argument("--config", metavar="FILE", help="a prometheus.yml, or a part of it with remote_write")
    group.add_argument("--name", help=f"which entry of remote_write in --config, if there are several{without_name}")
    group.add_argument("--username", help="for basic authentication; with --password-file")
    group.add_argument("--password-file", metavar="FILE")
    group.add_argument("--bearer-token-file", metavar="FILE")
    group.add_argument(
        "--header",
        dest="headers",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header, such as X-Scope-OrgID:team; repeat for several",
    )
    group.add_argument("--ca-file", metavar="FILE", help="the trusted authorities; default: REQUESTS_CA_BUNDLE")
    group.add_argument("--cert-file", metavar="FILE", help="the client certificate")
    group.add_argument("--key-file", metavar="FILE", help="the client certificate's key")
    group.add_argument("--server-name", metavar="NAME", help="the name that the certificate must cover")
    group.add_argument("--insecure-skip-verify", action="store_true", default=None, help="accept any certificate")
    group.add_argument("--proxy-url", metavar="URL", help="default: from the environment, such as HTTPS_PROXY")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="for one request; default: 30")
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
    raise _wrong(problem)


def targets(args: argparse.Namespace) -> list[Target]:
    """
    Return the settings of the endpoint that the options name, or of all entries of --config without --name.

    :param args: the parsed arguments of a parser with :func:`add_target_arguments`.
    :raises SystemExit: with status 2, after a message, if the options, or the only entry of the file, cannot be used.
    """
    problem, found = "", list[Target]()
    if args.config is not None and args.name is None:
        try:
            found = list(_each_of_configuration(args))
        except ValueError as error:
            problem = str(error)
    if problem:
        raise _wrong(problem)
    return found if len(found) > 1 else [Target(args.name or "", target(args))]


def _each_of_configuration(args: argparse.Namespace) -> Iterator[Target]:
    _check_no_other_options(args)
    from pyflink_prometheus.configuration import stanza  # noqa: PLC0415  YAML is for --config only

    for each in stanza.read_each_remote_write(args.config):
        name = each.name or each.path
        if isinstance(each, stanza.UnusableEntry):
            yield Target(name, _shown(each.url), str(each.error))
            continue
        try:
            config = SinkConfig(**{**each.settings, **_version(args)})
        except (TypeError, ValueError) as error:
            yield Target(name, _shown(each.settings["prometheus_remote_write_url"]), str(error))
        else:
            yield Target(name, config)


def _shown(url: str) -> str:
    """Return a URL without credentials; "" if it is not a URL, because any part of it may then be a secret."""
    try:
        return SinkConfig(url).url_without_credentials
    except ValueError:
        return ""


def _wrong(problem: str) -> SystemExit:
    print(f"error: {problem}", file=sys.stderr)
    return SystemExit(2)


def _of_configuration(args: argparse.Namespace) -> dict[str, Any]:
    _check_no_other_options(args)
    from pyflink_prometheus.configuration.stanza import read_remote_write  # noqa: PLC0415  YAML is for --config only

    settings = read_remote_write(args.config, args.name).settings
    return {**settings, **_version(args)}


def _check_no_other_options(args: argparse.Namespace) -> None:
    for option in ("username", "password_file", "bearer_token_file", "headers", "proxy_url", "timeout", *_TLS):
        if getattr(args, option):
            raise ValueError(f"remove --{option.removesuffix('s').replace('_', '-')}: --config sets it in the file")


def _of_url(args: argparse.Namespace) -> dict[str, Any]:
    if args.name is not None:
        raise ValueError("remove --name, or give --config: the name is that of an entry in the file")
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
        raise ValueError("give both --username and --password-file, or neither")
    if args.bearer_token_file is not None:
        if args.username is not None:
            raise ValueError("give --username or --bearer-token-file, not both")
        return BearerAuth(Secret.file(args.bearer_token_file))
    return None if args.username is None else BasicAuth(args.username, Secret.file(args.password_file))


def _headers(given: list[str]) -> dict[str, str]:
    """Return the headers; messages show no part of a header, since it may be a secret."""
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
