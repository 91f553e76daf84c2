"""A policy of a server is believed within bounds; what it does not say stays as the client was built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qianwan.connection.policy import BOUNDS, FLAGS, WHOLE, Policy

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.binary(max_size=3),
)


@given(st.dictionaries(st.sampled_from([*BOUNDS, *FLAGS, "unknown"]), VALUES))
def test_whatever_a_server_says_the_policy_is_a_sane_one(said: dict[str, Any]) -> None:
    policy = Policy().told(said)
    for name, (low, high) in BOUNDS.items():
        assert low <= getattr(policy, name) <= high, name
        assert isinstance(getattr(policy, name), int) or name not in WHOLE
    assert policy.floor_s <= policy.start_s <= policy.ceiling_s
    assert policy.pong_min_s <= policy.pong_max_s
    assert policy.backoff_base_s <= policy.backoff_cap_s


def test_what_is_not_said_stays() -> None:
    built = Policy(backoff_cap_s=7.0, ceiling_s=900.0)
    policy = built.told({"rev": 4, "adaptive": True, "step_s": 30})
    assert (policy.rev, policy.adaptive, policy.step_s) == (4, True, 30.0)
    assert (policy.backoff_cap_s, policy.ceiling_s, policy.floor_s) == (7.0, 900.0, built.floor_s)


@pytest.mark.parametrize("interval", [-5.0, 0.0, 1e-9, 1e300])
def test_an_absurd_interval_neither_floods_nor_silences(interval: float) -> None:
    assert 1 <= Policy().told({"ping_interval_s": interval}).ping_interval_s <= 3600
