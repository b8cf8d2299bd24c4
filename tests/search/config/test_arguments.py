"""Values are what was typed, whatever is in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.config.arguments import as_typed, plain_text, quote, separate
from search.config.compose import expand_sweep
from search.config.schema import RunConfig
from search.errors import ConfigError
from tests.search.config.test_checks import config_of

SPELLING = "r16-s16-[ds_r1_k5_s1_e1_c8_se0.25|ir_r2_k5_s2_e4_c48_se0.25_noskip]-h128"
AS_TYPED = (
    "2024_05_01", "1e3", "007", "0x10", "1.0", "-3", "true", "nan", "a", "my pets (2)", "données",
    "epoch=3/pets", "~/pets", "pets [raw]", "a,b", "{x}", "it's", '5" disks', "back\\slash\\",
    "${oc.env:HOME}", "\\${x}", "a#b", "a: b", "a|b", "%s", "[/b]", "$HOME", "[x", "x)", "glob(*)",
    "../up", "a\tb", "猫",
)  # fmt: skip


@pytest.mark.parametrize("value", AS_TYPED)
@pytest.mark.parametrize("name", ["results_dir", "dataset.root", "search.warm_start"])
def test_text_is_taken_as_typed(name: str, value: str) -> None:
    config = config_of(f"{name}={value}")
    found = {
        "results_dir": config.results_dir,
        "dataset.root": config.dataset.root,
        "search.warm_start": config.search.warm_start,
    }
    assert found[name] == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_text_survives_the_grammar(value: str) -> None:
    assert plain_text(quote(value)) == value
    [line] = as_typed([f"study={quote(value)}"], RunConfig)
    assert as_typed([line], RunConfig) == [line]
    assert config_of(line).study == value


def test_words_are_words_but_null_where_there_may_be_nothing() -> None:
    assert config_of("study=null").study == "null"
    assert config_of("dataset.cache=null").dataset.cache is None
    assert config_of("dataset.cache='null'").dataset.cache == "null"
    assert config_of("study='quoted'").study == "quoted"
    assert config_of('study="quoted too"').study == "quoted too"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"[{SPELLING}]", [SPELLING]),
        (f"[{SPELLING},{SPELLING}]", [SPELLING, SPELLING]),
        (f"[{SPELLING}, '{SPELLING}']", [SPELLING, SPELLING]),
        (f"['{SPELLING}']", [SPELLING]),
        ("[efficientnet_b0,2]", ["efficientnet_b0", "2"]),
        ("[]", []),
    ],
)
def test_lists_of_spellings(value: str, found: list[str]) -> None:
    assert config_of(f"search.enqueue={value}").search.enqueue == found


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataset.root=", "dataset.root= has no value .*or dataset.root=null"),
        ("dataset.root=''", "dataset.root= has no value"),
        ("study=", r"study= has no value .*expected study=VALUE$"),
        ("study= ", "study= has no value"),
        ("search.trials=", "search.trials= has no value"),
        ("space.kernel=", "space.kernel= has no value"),
        ("dataset=", "dataset= is unknown; expected one of cifar10"),
        ("++proxy.epoch=3", "unknown setting 'proxy.epoch' .*'proxy.epochs'.*search settings"),
        ("+proxy.epoch=3", "did you mean 'proxy.epochs'"),
        ("+nothing.like=it", "unknown setting 'nothing.like'"),
        ("serch=3", "unknown setting 'serch'.*'search'"),
        ("~proxy.epochs", "'~proxy.epochs': a setting cannot be taken away; leave proxy.epochs"),
        ("~dataset", "cannot be taken away"),
        ("study", "study is not a setting; settings are written name=value"),
        ("my study", "'my study' is not a setting"),
        ("search.enqueue=r16", r"search.enqueue=r16 is not a list; expected for example"),
        ("space.kernel=[3,5", r"'space.kernel=\[3,5' cannot be read; a list is written \[a,b\]"),
        ("proxy.lr=(1", r"proxy.lr=\(1: Value .* could not be converted to Float"),
        ("search.trials=1,2", "--multirun"),
        ("dataset=npz,cifar10", "run -m"),
        ("space=[tiny", r"space=\[tiny is unknown"),
        ("search.trials=${x}", "x"),
        ("proxy=3", "proxy=3 is not a group of settings"),
        ("proxy.epochs.x=3", "unknown setting 'proxy.epochs.x'"),
    ],
)
def test_what_cannot_be_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config_of(argument)
    assert "\n" not in str(refused.value)


def test_of_a_setting_given_twice_the_last_holds() -> None:
    assert as_typed(["seed=1", "study=x", "seed=2"], RunConfig) == ["study=x", "seed=2"]
    assert as_typed(["dataset=npz", "dataset=cifar10"], RunConfig) == ["dataset=cifar10"]


def test_additions_of_what_is_there_are_settings() -> None:
    assert config_of("+proxy.epochs=3") == config_of("proxy.epochs=3")
    assert config_of("++dataset=npz") == config_of("dataset=npz")


def test_in_a_sweep_commas_separate_what_is_taken_as_typed(tmp_path: Path) -> None:
    def swept(argument: str) -> list[object]:
        jobs, _ = expand_sweep(as_typed([argument], RunConfig, sweep=True))
        configs = [config_of(*job) for job in jobs]
        return [
            (each.dataset.root, each.search.enqueue, each.space == configs[0].space)
            for each in configs
        ]

    def roots(argument: str) -> list[object]:
        jobs, _ = expand_sweep(as_typed([argument], RunConfig, sweep=True))
        return [config_of(*job).dataset.root for job in jobs]

    assert roots("dataset.root=2024_05_01,my pets (2),é") == ["2024_05_01", "my pets (2)", "é"]
    assert roots("dataset.root='a,b',c") == ["a,b", "c"]
    assert roots("dataset.root=pets (2,d") == ["pets (2", "d"]
    assert roots("dataset.root=choice(a,b)") == ["a", "b"]
    assert len(swept(f"search.enqueue=[{SPELLING}],[{SPELLING},{SPELLING}]")) == 2
    assert [third for _, _, third in swept("space=tiny,efficientnet")] == [True, False]  # type: ignore[misc]
    with pytest.raises(ConfigError, match="no value between"):
        swept("dataset.root=a,,b")


def test_commas_within_brackets_and_quotes_separate_nothing() -> None:
    assert separate("a, b") == ["a", "b"]
    assert separate("[a,b],(c,d),{e,f}") == ["[a,b]", "(c,d)", "{e,f}"]
    assert separate("'a,b',\"c,d\"") == ["'a,b'", '"c,d"']
    assert separate("it's,b") == ["it's", "b"]
