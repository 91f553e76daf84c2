"""Secrets in documents: opened by who has the key, for the document they were wrapped for."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from control.keys.wrapped import CannotUnwrap, Wrapping, wrapping_of
from control.settings import Settings

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
