"""Dead letters of endpoints: each once, oldest first, of one endpoint or another."""

from im_service.storage.records import DeadLetter
from tests.support.store_kit import Kit


def letter(endpoint: str, number: int, reason: str = "refused") -> DeadLetter:
    return DeadLetter(endpoint, str(number), "message.single", "s/a:b", f"c{number}", reason, number)


async def test_a_letter_is_kept_once_and_in_order(kit: Kit) -> None:
    store = await kit.open()
    for number in range(3):
        assert await store.bury(letter("shop", number)) == number + 1
    assert await store.bury(letter("shop", 1, "again")) == 3
    assert await store.bury(letter("bank", 1)) == 1
    found = await store.dead_letters("shop")
    assert [each for _, each in found] == [letter("shop", 0), letter("shop", 1, "again"), letter("shop", 2)]
    numbers = [number for number, _ in found]
    assert numbers == sorted(numbers)
    assert await store.dead_letters("shop", numbers[0], 1) == [found[1]]
    assert await store.count_letters("shop") == 3
    assert await store.count_letters("nobody") == 0


async def test_letters_are_forgotten_one_by_one_or_all_of_an_endpoint(kit: Kit) -> None:
    store = await kit.open()
    for number in range(3):
        await store.bury(letter("shop", number))
    await store.bury(letter("bank", 1))
    await store.drop_letters("shop", "1")
    assert [each.event_id for _, each in await store.dead_letters("shop")] == ["0", "2"]
    await store.drop_letters("shop")
    assert not await store.dead_letters("shop")
    assert len(await store.dead_letters("bank")) == 1
