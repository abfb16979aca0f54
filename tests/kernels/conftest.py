from __future__ import annotations

import pytest

from plait.kernels import _native, available_isas


@pytest.fixture(scope="session", params=available_isas())
def native(request: pytest.FixtureRequest) -> _native.Kernels:
    return _native.kernels(request.param)
