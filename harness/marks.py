"""The marks that suites put on their tests."""

import pytest

requirement = pytest.mark.requirement
fresh = pytest.mark.fresh
provokes = pytest.mark.provokes  # the test provokes bus errors on purpose: bus health is not held against it
