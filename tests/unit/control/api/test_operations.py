"""The table of routes against the methods the message service has."""

from __future__ import annotations

import pytest

from control.api.operations import Operation
from control.api.table import DEVICE_ONLY, OPERATIONS
from im_service.methods import METHODS


def test_every_method_has_a_route_or_is_for_devices_only() -> None:
    routed = {operation.method for operation in OPERATIONS}
    assert routed | DEVICE_ONLY == set(METHODS)
    assert not routed & DEVICE_ONLY


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.method)
def test_a_route_names_a_user_exactly_when_the_method_needs_one(operation: Operation) -> None:
    """A method that is for the server itself too may have a second route, for a user."""
    alone = METHODS[operation.method].alone and not operation.name
    assert (operation.actor is None) == alone


def test_paths_are_unique_and_reading_never_changes() -> None:
    ways = [(operation.http, operation.path) for operation in OPERATIONS]
    assert len(ways) == len(set(ways))
    for operation in OPERATIONS:
        wanted = "admin" if operation.method == "account.export" else "read"  # all that is known of a person
        assert (operation.scope == wanted) == (operation.http == "GET"), operation.path
