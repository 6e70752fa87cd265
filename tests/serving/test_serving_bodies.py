"""How bodies are read: counted while they stream, each for itself and all of them together."""

import pytest

from millgate_serving.asgi import MAX_BODY_BYTES, BodyMemory, ClientGoneError, read_body
from millgate_serving.refusal import Refusal

MIB = 1 << 20


class Client:
    """Sends so many parts of a mebibyte; `goes` away instead of sending the last one."""

    def __init__(self, parts: int, *, goes: bool = False) -> None:
        self.scope = {"headers": [], "state": {"closes_at": 1.0}}
        self._parts, self._goes, self.sent = parts, goes, 0

    async def receive(self) -> dict:
        self.sent += 1
        if self._goes and self.sent == self._parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(MIB), "more_body": self.sent < self._parts}


async def held(memory: BodyMemory, parts: int) -> Client:
    client = Client(parts)
    assert len(await read_body(client.scope, client.receive, memory)) == parts * MIB
    return client


async def test_bodies_that_are_being_answered_have_a_common_limit():
    memory = BodyMemory(8 * MIB)
    first, second = await held(memory, 3), await held(memory, 4)
    with pytest.raises(Refusal) as refusal:
        await held(memory, 2)
    assert (refusal.value.status, refusal.value.headers[0][0]) == (503, b"retry-after")
    memory.release(first.scope)
    await held(memory, 2)
    memory.release(second.scope)


async def test_what_comes_in_one_part_needs_no_place():
    memory = BodyMemory(0)
    await held(memory, 1)


@pytest.mark.parametrize(
    ("client", "raised"),
    [(Client(3, goes=True), ClientGoneError), (Client(12), Refusal), (Client(100), Refusal)],
    ids=["who goes away", "too large", "much too large"],
)
async def test_whatever_becomes_of_a_body_its_place_is_free_afterwards(client, raised):
    memory = BodyMemory(2 * MAX_BODY_BYTES)
    with pytest.raises(raised):
        await read_body(client.scope, client.receive, memory)
    memory.release(client.scope)
    await held(BodyMemory(MAX_BODY_BYTES), 10)
    assert memory._bytes == 0
    assert client.sent <= 41, "nobody is read for ever"
