"""What operators do to an endpoint says from when on it is judged by its answers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from control.api.admin.app import create_admin_app
from control.keys.api_keys import ROLES
from control.outbox.endpoints import PREFIX, Endpoint, read_endpoint
from tests.support.admin_app import client_of, running_services

URL = "https://shop.example/hook"
ONE = "/v1/admin/endpoints/shop"
BEGUN = 1 << 40
"""Beyond any clock: it still rises."""


@pytest.mark.parametrize(
    ("state", "deeds", "anew"),
    [
        ("active", ["pause", "resume"], 0),
        ("active", ["resume"], 0),
        ("disabled", ["resume"], 1),
        ("disabled", ["resume", "pause", "resume"], 1),
        ("disabled", ["pause", "resume"], 1),
        ("active", [{"url": URL, "batch": 7}], 0),
        ("active", [{"url": URL + "2"}], 1),
        ("disabled", [{"url": URL + "2"}, "resume"], 2),
    ],
)
async def test_it_begins_anew_after_a_disabling_and_under_another_url(
    tmp_path: Path, state: str, deeds: list[str | dict[str, object]], anew: int
) -> None:
    """A pause is the operator's own: what was before it still counts."""
    async with running_services(tmp_path) as services:
        endpoint = Endpoint(url=URL, state=state, why="because", begun=BEGUN, secrets=("s",))
        await services.documents.put(PREFIX + "shop", msgspec.json.encode(endpoint))
        key = services.api_keys.folder.create("root", (), 0, ROLES)[1]
        async with client_of(create_admin_app(services), key) as admin:
            for deed in deeds:
                if isinstance(deed, str):
                    answer = await admin.post(f"{ONE}/{deed}", json={})
                else:
                    answer = await admin.put(ONE, json=deed, headers={"If-Match": "*"})
                assert answer.status_code == 200, answer.text
        document = await services.documents.get(PREFIX + "shop")
        assert document is not None
        assert read_endpoint(document).begun == BEGUN + anew
