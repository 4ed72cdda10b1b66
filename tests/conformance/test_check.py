"""Misconfigurations, each of which the preflight check finds, with a remedy and without showing a secret."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import ssl
import threading
import time
from email.utils import formatdate

import pytest
import trustme
from raw_server import RawServer, response

from pyflink_prometheus import PrometheusSink, PrometheusSinkBuilder, Severity, TenantConfiguration
from pyflink_prometheus.__main__ import main
from pyflink_prometheus.commands.check import FIELDS
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.configuration.fields import QUEUE_CONFIG, REMOTE_WRITE
from pyflink_prometheus.http.auth.scheme import BearerAuth
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.preflight.endpoints import check
from pyflink_prometheus.preflight.receiver_check import round_trip_finding
from pyflink_prometheus.secret import Secret
from pyflink_prometheus.testing import Receiver, Response

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
CLOSE = "Connection: close"
SECRET = "hunter22"  # a word that nothing else contains


@pytest.fixture
def trusted(authority, tmp_path):
    """Return the file of the trusted authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def serve():
    """Return a function that starts a server of bytes."""
    with contextlib.ExitStack() as stack:
        yield lambda response, **settings: stack.enter_context(RawServer(response, **settings))


@pytest.fixture
def receive():
    """Return a function that starts a receiver that decides, and returns its URL."""
    with contextlib.ExitStack() as stack:

        def start(decide=lambda request: None, **settings):
            return stack.enter_context(Receiver(decide, **settings)).url

        yield start


def all_findings(url, **settings):
    """Return the findings in order."""
    write_test_series = settings.pop("write_test_series", None)
    config = SinkConfig(prometheus_remote_write_url=url, **settings)
    report = check(config, write_test_series=write_test_series)
    assert SECRET not in str(report) + repr(report) + json.dumps(report.as_json())
    for finding in report.problems:
        assert finding.remedy, finding
    assert "\n" not in "".join(each.message + each.remedy for each in report.endpoints[0].findings)
    return report.endpoints[0].findings


def findings_of(url, **settings):
    """Return the last finding of each check."""
    return {finding.check: finding for finding in all_findings(url, **settings)}


def the_problem(url, **settings):
    """Return the only problem, which is the last finding."""
    *others, last = all_findings(url, **settings)
    assert last.severity is Severity.PROBLEM
    assert Severity.PROBLEM not in {each.severity for each in others}
    return last


def tls_context(by, *names, **settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    by.issue_cert(*names, **settings).configure_cert(context)
    return context


def unused_port():
    with RawServer(b"") as server:
        return server.port


def test_nothing_is_wrong(receive):
    findings = findings_of(receive())
    assert [*findings] == [
        *("name", "connection", "authentication", "receiver", "versions", "clock", "body size", "round trip")
    ]
    assert {each.severity for name, each in findings.items() if name != "round trip"} == {Severity.OK}
    assert "2.0 and 1.0" in findings["versions"].message


def test_nothing_is_written():
    with Receiver() as receiver:
        findings_of(receiver.url)
    assert len(receiver.requests) > 5
    assert [request.series for request in receiver.requests if request.series] == []


def test_a_wrong_port():
    found = the_problem(f"http://127.0.0.1:{unused_port()}/api/v1/write")
    assert (found.check, "refused" in found.message) == ("connection", True)


def test_a_name_that_does_not_resolve():
    assert the_problem("http://receiver.invalid/api/v1/write").check == "name"


def test_https_to_a_port_without_tls(receive):
    found = the_problem(receive().replace("http:", "https:"))
    assert found.check == "tls"
    assert found.remedy.startswith("use http:// in the URL")


def test_http_to_a_port_with_tls(serve, authority):
    server = serve(response(204, CLOSE), tls=tls_context(authority, "127.0.0.1"))
    assert "https://" in the_problem(server.url()).remedy


def test_http_to_a_port_with_tls_that_says_so(serve):
    """As Go's servers do."""
    server = serve(response(400, CLOSE, body=b"Client sent an HTTP request to an HTTPS server."))
    assert "https://" in the_problem(server.url()).remedy


def test_an_expired_certificate(serve, authority, trusted):
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    context = tls_context(authority, "127.0.0.1", not_after=yesterday)
    server = serve(response(204, CLOSE), tls=context)
    found = the_problem(server.url(scheme="https"), tls=TlsConfiguration(ca_file=trusted))
    assert found.check == "tls"
    assert found.remedy.startswith("renew")


def test_a_certificate_that_ends_soon(serve, authority, trusted):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3, hours=1)
    context = tls_context(authority, "127.0.0.1", not_after=soon)
    server = serve(response(204, CLOSE), tls=context)
    found = findings_of(server.url(scheme="https"), tls=TlsConfiguration(ca_file=trusted))["tls"]
    assert found.severity is Severity.ADVICE
    assert "(3 days)" in found.message
    assert "127.0.0.1" in found.message


def test_an_authority_that_ends_before_the_certificate(serve, tmp_path):
    """The whole chain counts, not only the receiver's own certificate."""
    root = trustme.CA()
    root.cert_pem.write_to_path(str(tmp_path / "root.pem"))
    server = serve(response(204, CLOSE), tls=tls_context(root.create_child_ca(), "127.0.0.1"))
    found = findings_of(server.url(scheme="https"), tls=TlsConfiguration(ca_file=str(tmp_path / "root.pem")))["tls"]
    assert "3 certificates" in found.message


def test_an_unknown_authority(serve, authority):
    server = serve(response(204, CLOSE), tls=tls_context(authority, "127.0.0.1"))
    found = the_problem(server.url(scheme="https"))
    assert (found.check, "REQUESTS_CA_BUNDLE" in found.remedy) == ("tls", True)


def test_a_certificate_of_another_name(serve, authority, trusted):
    server = serve(response(204, CLOSE), tls=tls_context(authority, "other.test"))
    found = the_problem(server.url(scheme="https"), tls=TlsConfiguration(ca_file=trusted))
    assert (found.check, "host name" in found.remedy) == ("tls", True)


def test_a_certificate_that_is_not_checked(serve, authority):
    server = serve(response(204, CLOSE), tls=tls_context(authority, "other.test"))
    found = findings_of(server.url(scheme="https"), tls=TlsConfiguration(insecure_skip_verify=True))["tls"]
    assert found.severity is Severity.ADVICE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_certificate_is_missing(serve, authority, trusted, version):
    context = tls_context(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = serve(response(204, CLOSE), tls=context)
    found = the_problem(server.url(scheme="https"), tls=TlsConfiguration(ca_file=trusted))
    assert "client certificate" in found.remedy


def test_a_certificate_file_that_is_not_there(serve, authority):
    server = serve(response(204, CLOSE), tls=tls_context(authority, "127.0.0.1"))
    found = the_problem(server.url(scheme="https"), tls=TlsConfiguration(ca_file="/not/there.pem"))
    assert (found.check, "/not/there.pem" in found.remedy) == ("tls", True)


def test_no_credentials(receive):
    found = the_problem(receive(lambda request: Response(401, "who are you?")))
    assert found.check == "authentication"
    assert "without credentials" in found.message
    assert "set_request_signer" in found.remedy


def test_a_tenant_is_missing(receive):
    """As Mimir and Cortex word it."""
    found = the_problem(receive(lambda request: Response(401, "no org id")))
    assert "X-Scope-OrgID" in found.remedy


def test_a_tenant_that_each_series_names_is_no_problem(receive):
    tenant = TenantConfiguration(headers={"X-Scope-OrgID": "team"})
    found = findings_of(receive(lambda request: Response(401, "no org id")), tenant=tenant)
    assert found["authentication"].severity is Severity.ADVICE


def test_wrong_credentials(receive):
    found = the_problem(receive(lambda request: Response(401, f"{SECRET}?")), request_signer=BearerAuth(SECRET))
    assert "the credentials" in found.message


def test_no_permission(receive):
    found = the_problem(receive(lambda request: 403), request_signer=BearerAuth(SECRET))
    assert (found.check, "permission" in found.remedy) == ("authentication", True)


def test_a_secret_that_is_not_there(receive):
    found = the_problem(receive(), request_signer=BearerAuth(Secret.file("/not/there")))
    assert (found.check, "/not/there" in found.remedy) == ("authentication", True)


def test_a_wrong_path_or_a_receiver_that_is_not_enabled(receive):
    found = the_problem(receive(lambda request: Response(404, "404 page not found")))
    assert (found.check, "--web.enable-remote-write-receiver" in found.remedy) == ("receiver", True)


def test_a_path_of_another_protocol(receive):
    found = the_problem(receive(lambda request: Response(400, "cannot parse", says_written=False)))
    assert (found.check, "path" in found.remedy) == ("receiver", True)


def test_a_path_that_accepts_everything(serve):
    """Like /api/v1/import of VictoriaMetrics, which stores nothing from it."""
    found = findings_of(serve(response(204), keep=True).url())["receiver"]
    assert (found.severity, "path" in found.remedy) == (Severity.ADVICE, True)


def test_a_redirect(receive):
    url = receive(lambda request: Response(302, headers={"Location": "https://login.invalid/?next=hunter22"}))
    found = the_problem(url)
    assert (found.check, "https://login.invalid/" in found.remedy) == ("receiver", True)


def test_a_web_page(serve):
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    found = the_problem(serve(response(200, CLOSE, "Content-Type: text/html", body=page)).url())
    assert "web page" in found.remedy


def test_a_server_of_another_protocol(serve):
    server = serve(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert the_problem(server.url()).check == "receiver"


def test_a_receiver_that_is_not_ready(receive):
    found = the_problem(receive(lambda request: Response(503, "Service Unavailable")))
    assert "not ready" in found.message


def test_no_response_in_time(serve):
    stop = threading.Event()
    try:
        found = the_problem(serve(lambda connection: stop.wait(10)).url(), socket_timeout_ms=1_000)
    finally:
        stop.set()
    assert (found.check, "1 s" in found.remedy) == ("receiver", True)


def test_a_proxy_that_is_dead():
    proxy = ProxyConfiguration(proxy_url=f"http://user:{SECRET}@127.0.0.1:{unused_port()}")
    found = the_problem("http://receiver.invalid/api/v1/write", proxy=proxy)
    assert (found.check, "proxy" in found.message) == ("connection", True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password(serve, scheme):
    server = serve(response(407, CLOSE))
    found = the_problem(f"{scheme}://receiver.invalid/write", proxy=ProxyConfiguration(proxy_url=server.url("")))
    assert (found.check, "proxy" in found.remedy) == ("proxy", True)


def test_a_proxy_that_forbids_the_receiver(serve):
    proxy = ProxyConfiguration(proxy_url=serve(response(403, CLOSE)).url(""))
    found = the_problem("https://receiver.invalid/api/v1/write", proxy=proxy)
    assert (found.check, "no_proxy" in found.remedy) == ("proxy", True)


def test_a_proxy_of_the_environment_is_named(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", serve(response(204), keep=True).url("").replace("//", f"//user:{SECRET}@"))
    found = findings_of("http://receiver.invalid/api/v1/write")["proxy"]
    assert (found.severity, "workers" in found.remedy) == (Severity.OK, True)


@pytest.mark.parametrize(
    ("ahead_s", "severity"), [(3600, "problem"), (60, "advice"), (-60, "advice"), (-400, "problem")]
)
def test_clocks_that_differ(serve, ahead_s, severity):
    date = f"Date: {formatdate(time.time() - ahead_s, usegmt=True)}"
    found = findings_of(serve(response(204, date), keep=True).url())["clock"]
    assert found.severity.value == severity
    assert ("ahead" if ahead_s > 0 else "behind") in found.message


@pytest.mark.parametrize("status", [400, 413])
def test_a_limit_of_bytes(receive, status):
    limit = 300_000

    def decide(request):
        return Response(status, "too large", says_written=False) if request.decoded_bytes > limit else None

    found = findings_of(receive(decide))["body size"]
    assert found.severity is Severity.ADVICE
    advised = int(found.remedy.partition("(")[2].partition(")")[0])
    assert 0.8 * limit < advised <= limit


def test_2_0_is_refused(receive):
    found = the_findings_about_versions(receive(versions=[V1]), V2)
    assert (found.severity, "AUTO" in found.remedy) == (Severity.PROBLEM, True)
    assert the_findings_about_versions(receive(versions=[V1]), RemoteWriteVersion.AUTO).severity is Severity.OK


def test_1_0_is_refused(receive):
    url = receive(lambda request: 415 if request.version is V1 else None)
    assert the_findings_about_versions(url, V1).severity is Severity.PROBLEM


def the_findings_about_versions(url, version):
    return findings_of(url, remote_write_version=version)["versions"]


def test_2_0_that_stores_nothing_is_not_supported(receive):
    """Like Prometheus before 2.54 and VictoriaMetrics: 204 without counts."""
    url = receive(lambda request: Response(204, says_written=False) if request.version is V2 else None)
    assert "supports Remote-Write 1.0;" in findings_of(url)["versions"].message


@pytest.mark.parametrize(
    ("seconds", "settings", "severity", "says"),
    [
        (0.0005, {}, "ok", "0.5 ms"),
        (0.05, {}, "advice", "20,000 samples a second"),
        (0.05, {"max_in_flight_requests": 1, "max_batch_size_in_samples": 500}, "advice", "10,000 samples a second"),
        (0.05, {"max_in_flight_requests": 16, "max_batch_size_in_samples": 10_000}, "ok", "3,200,000 samples a second"),
    ],
)
def test_what_a_round_trip_means(seconds, settings, severity, says):
    config = SinkConfig(prometheus_remote_write_url="http://receiver.invalid/write", **settings)
    found = round_trip_finding(seconds, config)
    assert (found.severity.value, says in found.message) == (severity, True)


def test_too_many_samples(receive):
    url = receive(lambda request: Response(413, "too many") if len(request.samples) > 100 else None)
    found = findings_of(url, write_test_series="check_me")["sample limit"]
    assert (found.severity, "10,000 samples" in found.message) == (Severity.ADVICE, True)


def test_the_test_series_has_the_name_that_the_user_has_agreed_to():
    with Receiver() as receiver:
        findings_of(receiver.url, write_test_series="check_me")
    series = [series for request in receiver.requests for series in request.series]
    assert {each.metric_name for each in series} == {"check_me"}
    assert {dict(each.labels)["check"] for each in series} == {"sample", "many", "histogram", "exemplar", "late"}


def test_a_sink_checks_all_of_its_endpoints(receive):
    backup = PrometheusSink.builder().set_prometheus_remote_write_url(receive(lambda request: 404))
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(receive()).add_endpoint("backup", backup).build()
    report = sink.check()
    assert [(each.name, each.severity is Severity.PROBLEM) for each in report.endpoints] == [
        ("", False),
        ("backup", True),
    ]
    assert not report.is_ok
    assert "backup: http://127.0.0.1" in str(report)


def test_the_command_prints_text_and_its_status_tells(receive, capsys):
    assert main(["check", "--url", receive()]) == 0
    assert capsys.readouterr().out.endswith("no problems\n")
    assert main(["check", "--url", receive(lambda request: 404)]) == 1
    assert capsys.readouterr().out.endswith("1 problem\n")


def test_the_command_prints_json(receive, capsys, tmp_path):
    (tmp_path / "prometheus.yml").write_text(f"remote_write: [{{url: '{receive(lambda request: 403)}'}}]")
    assert main(["check", "--json", "--config", str(tmp_path / "prometheus.yml")]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["endpoints"][0]["findings"][-1]["check"] == "authentication"


@pytest.fixture
def entries(tmp_path):
    """Return a function that writes a configuration with these entries, and returns the options that name it."""

    def write(*written):
        path = tmp_path / "prometheus.yml"
        path.write_text(json.dumps({"remote_write": written}))  # which is YAML
        return "check", "--config", str(path)

    return write


def test_each_entry_of_a_configuration_is_checked(receive, capsys, entries):
    forbidden = receive(lambda request: 401)
    options = entries(
        {"name": "good", "url": receive()},
        {"name": "closed", "url": forbidden.replace("://", f"://user:{SECRET}@")},
        {"url": f"{receive()}?token={SECRET}"},
        {"name": "google", "url": receive(), "google_iam": {}},
    )
    assert main(options) == 1
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert [each.split(":")[0] for each in headings[:-1]] == ["good", "closed", "remote_write[2]", "google"]
    assert headings[-1] == "2 problems at 2 of 4 endpoints"
    assert "set them with basic_auth, authorization, oauth2, sigv4 or azuread (HTTP 401" in text
    assert "google_iam: remove it" in text
    assert SECRET not in text
    assert main([*options, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    # A busy machine may get advice about its round-trip time.
    assert [each["severity"] == "problem" for each in report["endpoints"]] == [False, True, False, True]
    assert main([*options, "--name", "good"]) == 0
    assert "no problems" in capsys.readouterr().out
    assert main([*options, "--name", "closed", "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)["endpoints"]
    assert (one["name"], one["url"]) == ("closed", forbidden)


def test_the_status_is_that_of_the_worst_entry(receive, capsys, entries):
    assert main(entries({"url": receive()}, {"url": receive()})) == 0
    assert capsys.readouterr().out.endswith("no problems at 2 endpoints\n")


def test_one_entry_that_cannot_be_used_is_wrong_usage(receive, capsys, entries):
    with pytest.raises(SystemExit) as ended:
        main(entries({"url": receive(), "google_iam": {}}))
    assert ended.value.code == 2
    assert "google_iam: remove it" in capsys.readouterr().err


def test_a_configuration_that_prometheus_refuses_is_wrong_usage(receive, capsys, entries):
    with pytest.raises(SystemExit) as ended:
        main(entries({"url": receive()}, {"url": f"http://user:{SECRET}/x@host/"}))
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert "remote_write[1].url" in written
    assert SECRET not in written


def test_a_url_that_only_the_sink_refuses_is_a_problem_of_its_entry(receive, capsys, entries):
    assert main(entries({"url": receive()}, {"url": f"unix://user:{SECRET}@host/w"})) == 1
    text = capsys.readouterr().out
    assert "\nremote_write[1]\n  problem  settings" in text
    assert SECRET not in text


def test_the_fields_and_the_setters_of_remedies_exist():
    fields = {*REMOTE_WRITE.fields, *(f"queue_config.{each}" for each in QUEUE_CONFIG.fields)}
    for setter, named in FIELDS.items():
        assert hasattr(PrometheusSinkBuilder, re.findall(r"\w+", setter)[0])
        assert set(re.findall(r"[\w.]+", named)) - {"or", "set", "to", "false"} <= fields


def test_a_test_series_that_cannot_be_written_is_wrong_usage(receive, capsys):
    assert main(["check", "--url", receive(), "--write-test-series", ""]) == 2
    assert "--write-test-series" in capsys.readouterr().err
