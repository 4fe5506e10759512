"""The sample of the tests of features."""

from tests.core.features.conftest import sample  # noqa: F401
