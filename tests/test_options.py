from __future__ import annotations

from typing import Any

import pytest

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.numerics import IntType, QuantSpec
from quaint.options import NOT_KEPT, Option, kept_options, with_options
from quaint.patterns import CheckContext
from quaint.quantized import Quantized
from quaint.target import Target

SPEC = QuantSpec(IntType(8, signed=True))
OPTIONS = {
    "runtime": Option("1.0", "version of the runtime", form=r"\d+\.\d+"),
    "step": Option(32, "distance of the entries", choices=(1, 32)),
    "text": Option(default=True, help="write the text"),
    "key": Option("", "file with the key", kept=False),
}
TOY = Target("toy", "a toy", "quaint.toy", (), SPEC, SPEC, options=OPTIONS)


def test_defaults_stand_where_nothing_is_given() -> None:
    config = with_options(TOY, Config(options={"step": 1}))
    assert config.options == {"runtime": "1.0", "step": 1, "text": True, "key": ""}


def test_whoever_asks_gets_the_same_value() -> None:
    config = Config(options={"step": 1})
    assert CheckContext(TOY, config).option("step") == TOY.option(config, "step") == 1
    assert CheckContext(TOY, config).option("runtime") == TOY.option(Config(), "runtime") == "1.0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": 1}, "toy has no option 'stop', did you mean 'step'. known: key, runtime, step, text"),
        ({"step": 2}, "'step' does not take 2, known: 1, 32"),
        ({"step": True}, "'step' takes int, not True"),
        ({"text": 1}, "'text' takes bool, not 1"),
        ({"runtime": 1.0}, "'runtime' takes str, not 1.0, version of the runtime"),
        ({"runtime": "latest"}, "'runtime' does not take 'latest', version of the runtime"),
        ({"key": NOT_KEPT}, "'key' is not kept in files, give it again"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(QuaintError, match=rf"QT341.*{message}") as caught:
        with_options(TOY, Config(options=options))
    assert caught.value.exit_code == 2


def test_files_keep_the_options_but_not_what_leads_to_a_secret() -> None:
    config = with_options(TOY, Config(options={"key": "secret.hex", "step": 1}))
    assert kept_options(TOY, config).options == {"runtime": "1.0", "step": 1, "text": True, "key": NOT_KEPT}
    assert "secret" not in str(kept_options(TOY, config))
    assert kept_options(TOY, with_options(TOY, Config())).options["key"] == ""


def test_options_of_another_target_are_refused() -> None:
    other = Target("other", "another", "quaint.other", (), SPEC, SPEC)
    with pytest.raises(QuaintError, match=r"other has no option 'step', known: none"):
        with_options(other, Config(options={"step": 1}))


def test_a_quantized_model_answers_too() -> None:
    quantized = Quantized(None, TOY, Config(options={"key": "k.hex"}))  # type: ignore[arg-type]
    assert quantized.option("key") == "k.hex"
    assert quantized.kept_config() == {"options": {"key": NOT_KEPT}}
