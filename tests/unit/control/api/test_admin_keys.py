"""API keys through the admin API: made, shown, changed, revoked; who has one that is over hears nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from control.api.admin.app import create_admin_app
from control.api.services import Services
from control.audit.read import page
from control.keys.api_keys import ROLES, new_key
from control.keys.keyring import PREFIX, Keyring
from tests.support.admin_app import client_of, make_documents, running_services

KEYS, SELF = "/v1/admin/api-keys", "/v1/admin/self"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with running_services(tmp_path) as made:
        yield made


@pytest.fixture
async def admin(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    key = services.api_keys.folder.create("root", (), 0, ROLES)[1]
    async with client_of(create_admin_app(services), key) as client:
        yield client


def slug(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def asked_with(services: Services, text: str, path: str = SELF) -> httpx.Response:
    async with client_of(create_admin_app(services), text) as client:
        return await client.get(path)


async def test_a_key_is_made_changed_and_revoked_as_a_document(
    admin: httpx.AsyncClient, services: Services
) -> None:
    made = await admin.post(KEYS, json={"name": "night", "roles": ["operator"], "ttl_s": 60})
    assert (made.status_code, made.json()["kept"]) == (201, "cluster")
    key, text = made.json()["id"], made.json()["text"]
    assert (await asked_with(services, text)).json()["roles"] == ["operator"]
    shown = await admin.get(f"{KEYS}/{key}")
    assert (shown.headers["etag"], "text" in shown.json()) == (made.headers["etag"], False)
    wanted = {"name": "day", "roles": ["viewer"], "scopes": ["read"]}
    assert slug(await admin.put(f"{KEYS}/{key}", json=wanted)) == (428, "revision-not-named")
    match = {"If-Match": made.headers["etag"]}
    changed = await admin.put(f"{KEYS}/{key}", json=wanted, headers=match)
    assert (changed.json()["name"], changed.json()["expires_at"]) == ("day", 0)
    assert slug(await admin.put(f"{KEYS}/{key}", json=wanted, headers=match)) == (412, "revision-conflict")
    assert (await asked_with(services, text)).json()["roles"] == ["viewer"]
    assert (await admin.delete(f"{KEYS}/{key}")).json()["revoked_at"] > 0
    late = await admin.put(f"{KEYS}/{key}", json=wanted, headers={"If-Match": "*"})
    assert slug(late) == (409, "conflict"), "for good"
    lines = page(services.audit.operators.files.folder, 0, 50, what="api-keys.")[0]
    told = [(line.what, line.ids.get("key"), line.ids.get("roles")) for line in lines if line.begun]
    assert ("api-keys.create", key, ["operator"]) in told
    assert ("api-keys.change", key, ["viewer"]) in told
    assert text not in str(lines)


async def test_wrong_wishes_are_refused_and_no_key_shuts_itself_out(admin: httpx.AsyncClient) -> None:
    assert slug(await admin.post(KEYS, json={"name": "nothing"})) == (422, "invalid")
    assert slug(await admin.post(KEYS, json={"name": "x", "roles": ["root"]})) == (422, "invalid")
    own = f"{KEYS}/{(await admin.get(SELF)).json()['key_id']}"
    wanted, whatever = {"name": "x", "roles": ["viewer"]}, {"If-Match": "*"}
    assert slug(await admin.delete(own)) == (409, "conflict")
    assert slug(await admin.put(own, json=wanted, headers=whatever)) == (409, "conflict")
    for ask in (admin.get, admin.delete):
        assert (await ask(f"{KEYS}/000000000000")).status_code == 404
    assert (await admin.put(f"{KEYS}/000000000000", json=wanted, headers=whatever)).status_code == 404


async def test_keys_of_the_folder_are_listed_beside_and_revoked(
    admin: httpx.AsyncClient, services: Services
) -> None:
    made = (await admin.post(KEYS, json={"name": "night", "roles": ["operator"]})).json()["id"]
    here, text = services.api_keys.folder.create("shop")
    listed = (await admin.get(KEYS, params={"limit": 1})).json()
    rest = (await admin.get(KEYS, params={"after": listed["after"]})).json()
    kept = {each["id"]: each["kept"] for each in listed["keys"] + rest["keys"]}
    own = (await admin.get(SELF)).json()["key_id"]
    assert kept == {made: "cluster", here.id: "folder", own: "folder"}
    assert (await admin.get(f"{KEYS}/{here.id}")).json()["name"] == "shop"
    stays = {"name": "x", "roles": ["viewer"]}
    answer = await admin.put(f"{KEYS}/{here.id}", json=stays, headers={"If-Match": "*"})
    assert slug(answer) == (409, "conflict")
    assert (await admin.delete(f"{KEYS}/{here.id}")).json()["usable"] is False
    assert (await asked_with(services, text)).status_code == 401


async def test_while_documents_are_away_known_keys_go_on_and_changes_are_refused(
    admin: httpx.AsyncClient, services: Services
) -> None:
    made = (await admin.post(KEYS, json={"name": "night", "roles": ["operator"]})).json()
    await make_documents(services).stop()
    assert (await asked_with(services, made["text"])).status_code == 200
    assert made["id"] in [each["id"] for each in (await admin.get(KEYS)).json()["keys"]]
    for answer in (
        await admin.post(KEYS, json={"name": "more", "roles": ["viewer"]}),
        await admin.delete(f"{KEYS}/{made['id']}"),
    ):
        assert slug(answer) == (503, "documents-unavailable")


async def test_before_the_keys_of_the_cluster_were_read_nobody_is_told_that_a_key_is_wrong(
    services: Services,
) -> None:
    _, text, _ = await services.api_keys.create("shop", (), ("viewer",), 0)
    own = services.api_keys.folder.create("here", (), 0, ("viewer",))[1]
    services.api_keys = Keyring(services.documents, services.api_keys.folder)
    refused = await asked_with(services, text)
    assert (slug(refused), refused.headers["retry-after"]) == ((503, "documents-unavailable"), "1")
    assert (await asked_with(services, own)).status_code == 200


async def test_while_documents_are_away_a_key_of_elsewhere_is_not_called_wrong_and_a_guessed_one_is(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been made a moment ago; secrets of known ones, and what is no key, can be judged."""
    _, text, _ = await services.api_keys.create("shop", (), ("viewer",), 0)
    elsewhere = new_key("night", (), ("viewer",), 0, 0)[1]
    assert (await asked_with(services, elsewhere)).status_code == 401
    monkeypatch.setattr(services.documents, "problem", lambda: "etcd: away")
    refused = await asked_with(services, elsewhere)
    assert (slug(refused), refused.headers["retry-after"]) == ((503, "documents-unavailable"), "1")
    for wrong in (text[:-43] + "A" * 43, "sesame"):
        assert (await asked_with(services, wrong)).status_code == 401
    assert services.lockout.stats(0.0)["failures_total"] == 3


@pytest.mark.parametrize("why", ["revoked", "expired"])
async def test_a_key_that_is_over_is_told_nothing_and_the_log_says_why(services: Services, why: str) -> None:
    held, text, _ = await services.api_keys.create("shop", (), ("viewer",), 0)
    unknown = (await asked_with(services, f"qwk_{'0' * 12}_{text[-43:]}")).json()
    if why == "revoked":
        await services.api_keys.revoke(held.key.id)
    else:
        over = type(held.key)(held.key.id, "shop", held.key.sha256, (), 0, 1, roles=("viewer",))
        await services.api_keys.change(over, held.revision)
    with capture_logs() as lines:
        refused = await asked_with(services, text)
        wrong = await asked_with(services, text[:-43] + "A" * 43)
    assert (refused.status_code, wrong.status_code) == (401, 401)
    assert refused.json() == unknown, "who holds a key that is over learns no more than a guesser"
    assert [(line["event"], line["key"], line["why"]) for line in lines if "why" in line] == [
        ("an API key was refused", held.key.id, why)
    ]


async def test_a_key_that_another_version_wrote_is_told(admin: httpx.AsyncClient, services: Services) -> None:
    await services.documents.put(f"{PREFIX}00000000000a", b"{}")
    assert slug(await admin.get(f"{KEYS}/00000000000a")) == (409, "document-unreadable")
    assert slug(await admin.delete(f"{KEYS}/00000000000a")) == (409, "document-unreadable")


async def test_a_key_is_shown_from_memory_while_the_documents_are_away(
    admin: httpx.AsyncClient, services: Services
) -> None:
    made = await admin.post(KEYS, json={"name": "night", "roles": ["operator"]})
    shown = await admin.get(f"{KEYS}/{made.json()['id']}")
    await services.documents.stop()
    again = await admin.get(f"{KEYS}/{made.json()['id']}")
    assert (again.status_code, again.json(), again.headers["etag"]) == (
        200,
        shown.json(),
        shown.headers["etag"],
    )
    assert (await admin.get(f"{KEYS}/{'0' * 12}")).status_code == 503, "nobody knows whether there is one"
