"""Custom models: a spec names the factory."""

import pytest

from inference.models import describe_model, load_model
from infra.settings import InferSettings
from schemas.errors import ConfigError


def test_a_model_of_ones_own_is_named_by_its_factory() -> None:
    assert load_model("tests.support.models:Failing", InferSettings()).ref == describe_model("null").ref
    assert describe_model("tests.support.models:Failing") == describe_model("null")


@pytest.mark.parametrize("spec", ["tests.support.models:Nothing", "no.such.module:Model", "os:path", ":"])
def test_a_spec_that_leads_nowhere_is_named(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"infer\.model"):
        load_model(spec, InferSettings())
