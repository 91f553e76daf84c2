"""Secrets in documents: opened by who has the key, for the document they were wrapped for."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from control.keys.wrapped import CannotUnwrap, NothingWraps, Wrapping, wrapping_of
from control.settings import Settings
from control.settings.values import Secret

OLD, NEW = bytes(32), bytes([1]) * 32


def test_what_was_wrapped_is_opened_also_after_the_key_was_changed() -> None:
    wrapped = Wrapping([OLD]).wrap("endpoints/a", "whsec_x")
    assert "whsec" not in wrapped
    assert Wrapping([NEW, OLD]).unwrap("endpoints/a", wrapped) == "whsec_x"
    assert Wrapping([OLD]).wrap("endpoints/a", "whsec_x") != wrapped


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "A" * 100])
def test_what_is_no_wrapped_secret_is_refused(text: str) -> None:
    with pytest.raises(CannotUnwrap):
        Wrapping([OLD]).unwrap("endpoints/a", text)


def test_another_key_or_another_document_opens_nothing() -> None:
    wrapped = Wrapping([OLD]).wrap("endpoints/a", "whsec_x")
    for wrapping, name in ((Wrapping([NEW]), "endpoints/a"), (Wrapping([OLD]), "endpoints/b")):
        with pytest.raises(CannotUnwrap):
            wrapping.unwrap(name, wrapped)


def test_the_key_of_a_data_folder_stays_the_same_and_is_private(tmp_path: Path) -> None:
    settings = Settings()
    settings = replace(settings, server=replace(settings.server, data_dir=tmp_path))
    wrapped = wrapping_of(settings).wrap("endpoints/a", "whsec_x")
    assert wrapping_of(settings).unwrap("endpoints/a", wrapped) == "whsec_x"
    assert (tmp_path / "keys" / "wrapping.key").stat().st_mode & 0o777 == 0o600


def test_whoever_has_what_seals_the_keys_is_not_who_wraps_secrets(tmp_path: Path) -> None:
    """A gateway has auth.keys_secret, an im process has not; the folder of one is not that of the other."""
    settings = Settings()
    settings = replace(
        settings,
        server=replace(settings.server, data_dir=tmp_path),
        auth=replace(settings.auth, keys_secret=Secret("k" * 32)),
    )
    with pytest.raises(NothingWraps, match=r"outgoing\.secret"):
        wrapping_of(settings).wrap("endpoints/a", "whsec_x")
    control = replace(settings, outgoing=replace(settings.outgoing, secret=Secret("s" * 32)))
    im = replace(control, auth=Settings().auth)
    changed = replace(
        im, outgoing=replace(im.outgoing, secret=Secret("t" * 32), secret_before=Secret("s" * 32))
    )
    wrapped = wrapping_of(control).wrap("endpoints/a", "whsec_x")
    for reader in (im, changed):
        assert wrapping_of(reader).unwrap("endpoints/a", wrapped) == "whsec_x"
    with pytest.raises(CannotUnwrap):
        wrapping_of(settings).unwrap("endpoints/a", wrapped)
    assert not (tmp_path / "keys").exists()
