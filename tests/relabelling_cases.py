"""Rules and series for tests of relabelling, drawn by hypothesis, and their spelling in a prometheus.yml."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ACTIONS_WITH_REGEX = ("keep", "drop", "labeldrop", "labelkeep")

# Letters with more than one other case, non-ASCII characters, white space, and the characters of expressions.
CHARACTERS = "aabbAB01_-. \n\té\u017f\u212aKkSs\u0130ß\u03a3\u03c3\u03c2\u01c6日\U0001f600٣"
LITERALS = [re.escape(character) if character.isascii() else character for character in CHARACTERS]
CLASSES = [
    *(".", r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", "[ab]", "[^a]", "[a-k]", r"[\d_]", r"[^\W_]", "[[:alpha:]]"),
    *("[[:^space:]]", "[]a]", "[^]]", "[a-]", r"[\x{e9}-\x{200}]", r"\x41", r"\101", r"\n", r"\Q.a\E", r"\pL", "[{]"),
]
ASSERTIONS = ["^", "$", r"\A", r"\z", r"\b", r"\B"]
REPETITIONS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{1,2}?", "{0}"]
GROUPS = ["(", "(?:", "(?i:", "(?-s:", "(?m:", "(?U:", "(?P<n>", "(?<m>"]

# The parts of expressions, to be combined at random.
TOKENS = [
    *"()[]{}?*+|^$.ab1,-:<>=!PQpné\n)",
    *(r"\d", r"\b", r"\B", r"\z", r"\Z", r"\A", r"\Q", r"\E", r"\pL", r"\p{Greek}", r"\p", r"\x41", r"\x{1F600}"),
    *(r"\x{110000}", r"\1", r"\12", r"\0", r"\07", r"\8", r"\_", r"\é", r"\a", r"\C", "\\", r"\/", r"\]", r"\v"),
    *("(?i)", "(?i:", "(?s)", "(?m", "(?-s:", "(?U)", "(?:", "(?i-s)", "(?-)", "(?)", "(?z)"),
    *("(?P<n>", "(?<n>", "(?P<a-b>", "(?P=n)", "(?=", "(?!", "(?<=", "(?>", "(?#"),
    *("{2}", "{2,}", "{1,3}", "{1001}", "{01}", "{,3}", "{3,1}", "{500}", "(a{500})", "*?", "+?", "??", "++", "**"),
    *(
        "[[:alpha:]]",
        "[[:^space:]]",
        "[[:foo:]]",
        "[^",
        "[]a]",
        "[a-z]",
        "[z-a]",
        r"[\d-z]",
        r"[a-\d]",
        r"[\b]",
        r"[\]]",
    ),
]

token_texts = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6).map("".join)
texts = st.text(st.sampled_from(CHARACTERS), max_size=6)


def expressions():
    """Return a strategy of expressions that Prometheus accepts."""
    leaves = st.one_of(st.sampled_from(LITERALS), st.sampled_from(CLASSES), st.sampled_from(ASSERTIONS))

    def combined(inner):
        grouped = st.builds(lambda opening, each: f"{opening}{each})", st.sampled_from(GROUPS), inner)
        return st.one_of(
            grouped,
            st.builds(
                lambda each, sign: f"{each}{sign}",
                st.one_of(grouped, st.sampled_from(["a", "b", "0", ".", r"\w", "[ab]", r"\d", r"\W"])),
                st.sampled_from(REPETITIONS),
            ),
            st.lists(inner, min_size=2, max_size=3).map("".join),
            st.lists(inner, min_size=2, max_size=3).map("|".join),
        )

    return st.recursive(leaves, combined, max_leaves=6)


# Short names, so that rules match series.
label_names = st.sampled_from(["a", "b", "aa", "ab", "a_1", "B", "é.é", "k", "b1"])
label_values = st.one_of(texts, st.sampled_from(["a", "b", "ab", "1", "a-b", "a.b"]))
replacements = st.lists(
    st.sampled_from(
        ["$1", "${1}", "$2", "${n}", "$m", "$$", "$", "${", "x", "$0", "$1x", "${1}x", "é", "$01", "${9}", " "]
    ),
    max_size=3,
).map("".join)
targets = st.one_of(label_names, st.sampled_from(["$1", "a$1", "${n}_b", "x", "__name__"]))
name_expressions = st.one_of(
    st.sampled_from(
        ["a.*", "(a)(.*)", "b|aa", ".+", "(?i)B.*", "__name__|a.*", "(.)(?P<n>.?)", "é.*", "[^_]+", "(.).*"]
    ),
    expressions(),
)
value_expressions = st.one_of(
    st.sampled_from(
        ["(.*)", "a", "(a|b).*", "(.)(.*)", "(?P<n>[^-]*)-(.*)", "", ".+", "(?i)(A)(?P<m>.*)", "(.*);(.*)"]
    ),
    expressions(),
)


def rules():
    """Return a strategy of rules that Prometheus accepts."""
    sources = {"source_labels": st.lists(st.one_of(label_names, st.just("__name__")), max_size=3)}
    joined = {**sources, "separator": st.sampled_from([";", "", "-", "é"])}

    def rule(action, required, optional):
        return st.fixed_dictionaries({"action": st.just(action), **required}, optional=optional)

    return st.one_of(
        rule(
            "replace", {"target_label": targets, **sources}, {"regex": value_expressions, "replacement": replacements}
        ),
        rule("replace", {"target_label": targets, **joined}, {"regex": value_expressions, "replacement": replacements}),
        *(rule(action, {"regex": value_expressions, **sources}, {}) for action in ("keep", "drop")),
        *(rule(action, {"target_label": label_names, **sources}, {}) for action in ("keepequal", "dropequal")),
        rule(
            "hashmod", {"target_label": label_names, "modulus": st.sampled_from([1, 7, 1000, 2**64 - 1]), **joined}, {}
        ),
        rule("labelmap", {"regex": name_expressions}, {"replacement": replacements.filter(bool)}),
        *(rule(action, {"regex": name_expressions}, {}) for action in ("labeldrop", "labelkeep")),
        *(rule(action, {"target_label": label_names, **joined}, {}) for action in ("lowercase", "Uppercase")),
    )


def series():
    """Return a strategy of labels besides the metric's name."""
    return st.dictionaries(label_names, label_values.filter(bool), max_size=5)


def drawn(strategy, count):
    """Return examples of a strategy, the same ones in each run."""
    found = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


def as_yaml(value):
    """Return a value in YAML's flow style, with texts that YAML cannot misread."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {as_yaml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    return "null" if value is None else str(value)


def _escaped(character):
    return character if character.isascii() and character.isalnum() else f"\\U{ord(character):08X}"
