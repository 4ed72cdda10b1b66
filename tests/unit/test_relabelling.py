"""Relabelling: the effect of each action, the rules that are refused, and expressions with RE2 and without."""

from __future__ import annotations

import pickle
import sys

import pytest

from pyflink_prometheus import PrometheusSink
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.relabelling.rule import RelabelConfigError
from pyflink_prometheus.relabelling.syntax import parse

SERIES = {"__name__": "requests", "code": "200", "host": "eu-1"}


@pytest.fixture(params=["re", "re2"])
def engine(request, monkeypatch):
    """Match by Python's re, then by RE2 if it is installed."""
    if request.param == "re":
        monkeypatch.setitem(sys.modules, "re2", None)
    else:
        pytest.importorskip("re2")
    return request.param


@pytest.fixture
def without_re2(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)


def changed(labels, *rules):
    """Return the result of rules for labels."""
    return Relabelling.from_configs(rules).apply(labels)


def refused(*rules, **options):
    """Return the message of the refusal of rules."""
    with pytest.raises(RelabelConfigError) as refusal:
        Relabelling.from_configs(rules, **options)
    return str(refusal.value)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("rule", "difference"),
    [
        ({"target_label": "t", "replacement": "x"}, {"t": "x"}),
        ({"source_labels": ["code", "host"], "target_label": "t"}, {"t": "200;eu-1"}),
        ({"source_labels": ["none", "host"], "target_label": "t", "separator": ""}, {"t": "eu-1"}),
        ({"source_labels": ["host"], "regex": "(.*)-(.)", "target_label": "r_$1", "replacement": "$2"}, {"r_eu": "1"}),
        ({"source_labels": ["host"], "regex": "eu", "target_label": "t"}, {}),
        ({"source_labels": ["host"], "regex": "(x)?.*", "target_label": "code"}, {"code": None}),
        ({"source_labels": ["host"], "regex": "eu(.*)", "target_label": "$2", "replacement": "x"}, {}),
        ({"action": "keep", "source_labels": ["code"], "regex": "2.."}, {}),
        ({"action": "keep", "source_labels": ["code"], "regex": "2."}, None),
        ({"action": "drop", "source_labels": ["code"], "regex": "2.."}, None),
        ({"action": "drop", "source_labels": ["code"], "regex": "2."}, {}),
        ({"action": "keepequal", "source_labels": ["code"], "target_label": "host"}, None),
        ({"action": "keepequal", "source_labels": ["none"], "target_label": "nor this"}, {}),
        ({"action": "dropequal", "source_labels": ["code"], "target_label": "host"}, {}),
        ({"action": "dropequal", "source_labels": ["code"], "target_label": "code"}, None),
        ({"action": "labelmap", "regex": "(h.*)", "replacement": "the_$1"}, {"the_host": "eu-1"}),
        ({"action": "labeldrop", "regex": "h.*|code"}, {"host": None, "code": None}),
        ({"action": "labelkeep", "regex": "__.*|code"}, {"host": None}),
        ({"action": "uppercase", "source_labels": ["host"], "target_label": "host"}, {"host": "EU-1"}),
        ({"action": "LowerCase", "source_labels": ["__name__"], "target_label": "t"}, {"t": "requests"}),
        (
            {"source_labels": ["__name__"], "regex": "(.*)", "target_label": "__name__", "replacement": ""},
            {"__name__": None},
        ),
        ({"target_label": "port", "replacement": 8080}, {"port": "8080"}),
    ],
)
def test_what_a_rule_does(rule, difference):
    given = dict(SERIES)
    expected = None if difference is None else {k: v for k, v in {**SERIES, **difference}.items() if v is not None}
    found = changed(given, rule)
    assert found == expected
    assert given == SERIES
    assert found is None or list(found) == sorted(found)


def test_a_hash_is_the_end_of_md5():
    rule = {"action": "hashmod", "source_labels": ["a"], "target_label": "shard", "modulus": 1000}
    # RFC 1321, A.5: 900150983cd24fb0d6963f7d28e17f72.
    assert changed({"a": "abc"}, rule)["shard"] == str(0xD6963F7D28E17F72 % 1000)


def test_rules_see_what_those_before_them_have_done():
    rules = [
        {"source_labels": ["host"], "regex": "(..).*", "target_label": "region"},
        {"action": "labeldrop", "regex": "host"},
        {"action": "keep", "source_labels": ["host", "region"], "regex": ";eu"},
    ]
    assert changed(SERIES, *rules) == {"__name__": "requests", "code": "200", "region": "eu"}


def test_an_empty_value_is_no_label():
    assert changed({"a": "", "b": "1"}) == {"b": "1"}
    assert changed({"a": "1"}, {"action": "labeldrop", "regex": "a"}) == {}


def test_of_labels_with_one_new_name_the_last_wins_and_labels_that_rules_set_come_last():
    to_one = {"action": "labelmap", "regex": "[ab]", "replacement": "x"}
    assert changed({"a": "1", "b": "2"}, to_one)["x"] == "2"
    assert changed({"a": "1", "b": "2"}, {"target_label": "a", "replacement": "3"}, to_one)["x"] == "3"


@pytest.mark.parametrize(
    ("value", "lower", "upper"),
    [
        ("aB1é", "ab1é", "AB1É"),
        ("ß", "ß", "ß"),
        ("\u0130", "i", "\u0130"),
        ("\u03a3", "\u03c3", "\u03a3"),
        ("A\u03a3", "a\u03c3", "A\u03a3"),
        ("\u01c6", "\u01c6", "\u01c4"),
        ("\u1f80", "\u1f80", "\u1f88"),
    ],
)
def test_each_character_has_one_upper_and_lower_case(value, lower, upper):
    for action, expected in (("lowercase", lower), ("uppercase", upper)):
        rule = {"action": action, "source_labels": ["a"], "target_label": "t"}
        assert changed({"a": value}, rule)["t"] == expected


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$1-$2", "ab-c"),
        ("${1}0$0", "ab0abc"),
        ("$10", ""),
        ("$1x", ""),
        ("$first.", "c."),
        ("${first}x", "cx"),
        ("$firsté", ""),
        ("$$1", "$1"),
        ("$", "$"),
        ("a$-b", "a$-b"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("$01", ""),
        ("$3|", "|"),
        ("$9999999999|", "|"),
        ("${ 1}", "${ 1}"),
    ],
)
def test_templates_are_expanded_as_in_go(template, text):
    rule = {"source_labels": ["a"], "regex": "(..)(?P<first>.)(x)?", "target_label": "t", "replacement": template}
    assert changed({"a": "abc"}, rule).get("t", "") == text


@pytest.mark.usefixtures("engine")
def test_of_groups_with_one_name_the_first_that_matches_is_meant():
    rule = {"source_labels": ["a"], "regex": "(?P<n>a)|(?<n>b)", "target_label": "t", "replacement": "$n"}
    assert [changed({"a": value}, rule)["t"] for value in "ab"] == ["a", "b"]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("expression", "matching", "others"),
    [
        ("a", ["a"], ["a\n", "ba", "ab", "A"]),
        ("a$", ["a"], ["a\n"]),
        (r"a\z", ["a"], ["a\n"]),
        ("(?m)^a$\n^b$", ["a\nb"], ["a\n\nb"]),
        (".", ["a", "\n", "\U0001f600"], [""]),
        ("(?-s:.)", ["a"], ["\n"]),
        (r"\d\w", ["1a", "1_"], ["1é", "٣a"]),
        (r"\D\W", ["٣é"], ["1é"]),
        (r"\s", [" ", "\t", "\f"], ["\v", "\xa0"]),
        ("[[:space:]]", [" ", "\v"], ["\xa0"]),
        (r"a\b.*", ["aé", "a-"], ["ab"]),
        (r"\B", [""], ["a"]),
        ("(?i)k", ["k", "K", "\u212a"], ["ß"]),
        ("(?i)[^s]", ["t"], ["s", "S", "\u017f"]),
        ("(?i:a)b", ["Ab"], ["AB"]),
        ("a(?i)b|c", ["aB", "C"], ["AB"]),
        (r"\Q.*\E+", [".*", ".**"], ["a"]),
        (r"\x41\x{1F600}\101\a", ["A\U0001f600A\a"], ["A"]),
        ("a{,2}", ["a{,2}"], ["a"]),
        ("a{01}", ["a{01}"], ["a"]),
        ("[]a]+[^]]", ["a]b"], ["a]]"]),
        (r"[\d-]+", ["1-2"], ["a"]),
        (r"[&&||~\[-]", ["&", "[", "~", "-"], ["a"]),
        (r"[^\x00-\x{10FFFF}]", [], ["", "a"]),
        ("(?U)a+", ["a", "aa"], [""]),
        ("a|", ["a", ""], ["b"]),
        ("(?:^)?a", ["a"], ["b"]),
        (r"\_\-é#", ["_-é#"], ["é"]),
    ],
)
def test_expressions_mean_what_they_mean_in_re2(expression, matching, others):
    relabelling = Relabelling.from_configs([{"action": "keep", "source_labels": ["a"], "regex": expression}])
    assert [text for text in (*matching, *others) if relabelling.apply({"a": text}) is not None] == matching


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize(
    ("expression", "named"),
    [
        (r"\pL+", r"match \pL"),
        (r"[\p{Greek}a]", r"match \p{Greek}"),
        ("(?i)é", "match (?i) with é"),
        ("(?i)[a-é]", "match (?i) with a-é"),
        ("(a*)+", "match the repetition + of a part that can match nothing"),
        ("(|a){2,}?", "match the repetition {2,}? of a part that can match nothing"),
        ("(?:a+)+b", "match the repetition + of another repetition"),  # of "aaa…" for a practically unlimited time
        ("(?:x|a{2,}b?)*", "match the repetition * of another repetition"),
        ("(?:a+){11}", "match the repetition {11} of another repetition"),
        ("(a|b)*", "match the group $1 in a repetition"),
    ],
)
def test_what_python_might_match_otherwise_needs_re2(expression, named):
    message = refused({"source_labels": ["a"], "regex": expression, "target_label": "t"})
    assert message.startswith("write_relabel_configs[0].regex: install RE2 here and on the workers with pip install ")
    assert message.endswith(named)


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("expression", [r"(?:[0-9]+\.){3}[0-9]+", "(?:a{2}b?)*", "(?:a+)?b+", "a+b+|(?:c*)"])
def test_repetitions_that_come_to_an_end_need_no_re2(expression):
    Relabelling([{"action": "keep", "source_labels": ["a"], "regex": expression}])


@pytest.mark.usefixtures("without_re2")
def test_a_group_in_a_repetition_does_no_harm_where_it_is_not_used():
    rule = {"action": "keep", "source_labels": ["a"], "regex": "(a|b)*"}
    assert changed({"a": "abba"}, rule) == {"a": "abba"}
    assert changed({"a": "ab"}, {**rule, "action": "replace", "target_label": "t", "replacement": "$0"})["t"] == "ab"


def test_another_module_of_the_name_is_not_taken_for_re2(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", sys.modules["re"])
    assert "pip install" in refused({"action": "keep", "regex": r"\pL"})


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "(",
            ")",
            "[a",
            "*",
            "a**",
            "a*+",
            "a?+",
            "{2}",
            "|*",
            "(?i)*",
            "a{2}{3}",
            "a{1001}",
            "a{3,1}",
            "(?:a{500}){3}",
        ),
        *(
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(?>a)",
            "(?#a)",
            "(?P=n)",
            "(?P<a-b>c)",
            "(?P<>c)",
            "(?P<n",
            "(?z)",
            "(?-)",
        ),
        *(
            r"\1",
            r"\8",
            r"\Z",
            r"\C",
            r"\E",
            r"\k<n>",
            r"\é",
            r"\x{110000}",
            r"\xg",
            r"\x{",
            r"\N{DIGIT ONE}",
            r"\u0041",
        ),
        *("[z-a]", r"[\b]", r"[\A]", "[[:foo:]]", r"\p", r"\p{", r"\p{1}", "a\\", r"\Qa", "(?", "(?i", "[]"),
    ],
)
def test_what_go_refuses_is_refused(expression):
    message = refused({"action": "keep", "regex": expression})
    assert "regex: correct the regular expression" in message
    assert "(Prometheus: error parsing regexp: " in message


def test_an_expression_must_not_leave_its_anchors():
    message = refused({"action": "keep", "regex": "a)|(b"})
    assert message == "write_relabel_configs[0].regex: match whole texts: the parentheses of 'a)|(b' are not balanced"


def test_deep_nesting_is_not_an_error_of_python(without_re2):
    deep = "(?:a|" * 900 + ")" * 900
    assert "pip install" in refused({"action": "keep", "regex": deep})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"action": "hashmod", "target_label": "t"},
            "write_relabel_configs[0].modulus: set it to 1 or more (Prometheus: relabel configuration for hashmod "
            "requires non-zero modulus)",
        ),
        (
            {"action": "rename"},
            "write_relabel_configs[0].action: choose one of replace, keep, drop, keepequal, dropequal, hashmod, "
            'labelmap, labeldrop, labelkeep, lowercase, uppercase (Prometheus: unknown relabel action "rename")',
        ),
        (
            {"target": "t"},
            "write_relabel_configs[0]: remove 'target', or correct its name (Prometheus: field target not found in "
            "type relabel.plain)",
        ),
        (
            {"action": "labeldrop", "regex": "a", "separator": ""},
            "write_relabel_configs[0].separator: remove it (Prometheus: labeldrop action requires only 'regex', and no "
            "other fields)",
        ),
        (
            None,
            "write_relabel_configs[0]: remove the empty rule (Prometheus: empty or null relabeling rule in remote "
            "write config)",
        ),
        (
            {"action": "keepequal", "target_label": "t", "regex": "(.*)"},
            "write_relabel_configs[0].regex: remove it (Prometheus: keepequal action requires only 'source_labels' and "
            "`target_label`, and no other fields)",
        ),
        ("keep", "write_relabel_configs[0]: write the rule as fields with values, not as 'keep'"),
        (
            {"target_label": "t", "replacement": True},
            "write_relabel_configs[0].replacement: put the text in quotation marks; it is now True",
        ),
        (
            {"target_label": "t", "source_labels": "a"},
            "write_relabel_configs[0].source_labels: write a list of label names, not 'a'",
        ),
        (
            {"action": "hashmod", "target_label": "t", "modulus": 2**64},
            f"write_relabel_configs[0].modulus: write an integer of at least 1 and at most 64 bits, not {2**64}",
        ),
        (
            {"target_label": "\ud800"},
            "write_relabel_configs[0].target_label: write text that UTF-8 can encode, not '\\ud800'",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_advice_and_the_words_of_prometheus(rule, message):
    assert refused(rule) == message


def test_a_refusal_names_the_rule_and_survives_pickling():
    good = {"target_label": "t", "replacement": "x"}
    with pytest.raises(RelabelConfigError) as refusal:
        Relabelling.from_configs([good, {"action": "lowercase"}], where="remote_write[0].write_relabel_configs")
    error = pickle.loads(pickle.dumps(refusal.value))
    assert str(error) == str(refusal.value)
    assert (error.where, error.field) == ("remote_write[0].write_relabel_configs[1]", "target_label")
    assert error.words == "relabel configuration for lowercase action requires 'target_label' value"


@pytest.mark.parametrize("configs", [{"action": "keep"}, "keep", 7, None])
def test_rules_come_in_a_list(configs):
    with pytest.raises(RelabelConfigError, match="write_relabel_configs: write a list of rules"):
        Relabelling.from_configs(configs)


def test_legacy_names_confine_labels_where_asked_for():
    assert changed({}, {"target_label": "é", "replacement": "x"}) == {"é": "x"}
    assert "begin with a letter" in refused({"target_label": "é"}, legacy_names=True)
    assert "\"-$1\" is invalid 'target_label'" in refused({"target_label": "-$1"}, legacy_names=True)
    assert "invalid 'replacement'" in refused({"action": "labelmap", "replacement": "é$1"}, legacy_names=True)
    rule = {"source_labels": ["a"], "target_label": "${1}_x", "replacement": "1"}
    legacy = Relabelling.from_configs([rule], legacy_names=True)
    assert legacy.apply({"a": "é"}) == {"a": "é"}
    assert legacy.apply({"a": "e"}) == {"a": "e", "e_x": "1"}


def test_external_labels_come_before_the_rules_and_give_way_to_those_of_a_series():
    rules = [{"source_labels": ["site", "cell"], "target_label": "t"}]
    relabelling = Relabelling.from_configs(rules, external_labels={"site": "north", "cell": "b"})
    assert relabelling.apply({"cell": "a"}) == {"cell": "a", "site": "north", "t": "north;a"}
    assert Relabelling.from_configs([], external_labels={"site": "north"}).apply({}) == {"site": "north"}


def test_it_survives_pickling_and_is_compiled_where_it_is_loaded(monkeypatch):
    pytest.importorskip("re2")
    relabelling = Relabelling.from_configs([{"source_labels": ["a"], "regex": r"(\pL).*", "target_label": "t"}])
    pickled = pickle.dumps(relabelling)
    loaded = pickle.loads(pickled)
    assert loaded == relabelling
    assert loaded.apply({"a": "éa"}) == {"a": "éa", "t": "é"}
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(RelabelConfigError, match="install RE2 here and on the workers"):
        pickle.loads(pickled)


def test_no_rules_change_nothing():
    assert not Relabelling.from_configs([])
    assert Relabelling.from_configs([{"target_label": "t"}])
    assert changed(SERIES) == SERIES
    assert repr(Relabelling.from_configs([{"target_label": "t"}])) == "Relabelling([{'target_label': 't'}])"


def test_nothing_of_the_original_expression_is_left_to_python():
    assert parse("a#b c").python == r"(?:\A(?:a\U00000023b\U00000020c)\Z)"


def test_the_builder_checks_the_rules_and_a_sink_takes_them_along():
    builder = PrometheusSink.builder().set_prometheus_remote_write_url("http://localhost:9090/api/v1/write")
    with pytest.raises(ValueError, match=r"write_relabel_configs\[0\].target_label: name the label to write"):
        builder.set_write_relabel_configs([{"source_labels": ["a"]}])
    with pytest.raises(ValueError, match="invalid 'target_label'"):
        builder.set_write_relabel_configs([{"target_label": "é"}], legacy_names=True)
    rules = [{"action": "labeldrop", "regex": "host"}]
    sink = builder.set_write_relabel_configs(rules).build()
    config = pickle.loads(pickle.dumps(sink.get_transformer()._config))
    assert config.relabelling.apply(SERIES) == {"__name__": "requests", "code": "200"}
    assert not SinkConfig(prometheus_remote_write_url="http://localhost/").relabelling


def test_a_number_too_large_for_a_text_is_no_error_of_python():
    rule = {"action": "replace", "target_label": "a", "replacement": 10**5000}
    labels = Relabelling([rule]).apply({"__name__": "m"})
    assert labels is not None
    assert set(labels) == {"__name__", "a"}
