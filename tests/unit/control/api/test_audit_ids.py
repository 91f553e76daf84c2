"""What an entry of the audit log names is made of texts and numbers, whatever a call was given."""

from __future__ import annotations

from control.api.audit import MOST, Id, ids_of, ordered
from im_service.accounts.registry import AccountCreateArgs, ImportArgs


def test_people_of_an_import_are_named_and_no_structure_is_in_an_entry() -> None:
    """Else `audit verify` reads a line that is none."""
    given = ImportArgs(accounts=[AccountCreateArgs(user=f"u{n}", nick="a nick") for n in range(MOST + 1)])
    for told in (ids_of({}, given), ordered({}, given)):
        for value in told.values():
            each: Id
            for each in value if isinstance(value, list) else [value]:
                assert isinstance(each, str | int | float)
    people = ordered({}, given)["accounts"]
    assert isinstance(people, list)
    assert people[:2] == ["u0", "u1"]
    assert people[-1] == f"{MOST + 1} in all"
    assert "a nick" not in str(people)
