"""What the soak makes of its rounds: losses, writes of the route, and answers that linger."""

import pytest

from e2e.demo.answers import Answer
from e2e.demo.soak import Round, judge

ROUNDS = (Round(forward=0.0, asked=10.0, done=11.0), Round(forward=20.0, asked=30.0, done=32.0))


def answer(end, version="2", code=200):
    return Answer(end - 0.01, end, code, version if code == 200 else None, "kept", 0, True, None)


SEEN = (answer(9.0), answer(10.9), answer(12.0, "1"), answer(25.0), answer(30.2), answer(33.0, "1"))


def broken(seen=SEEN, back=(10.4, 30.5), played=ROUNDS):
    return [claim.name for claim in judge(seen, played, back, "2") if not claim.holds]


def test_rounds_as_promised_bear_out_every_claim():
    assert broken() == []
    values = {claim.name: claim.value for claim in judge(SEEN, ROUNDS, (10.4, 30.5), "2")}
    assert values["last answer after the write"] == "median 0.25 s, 0.00 to 0.50 s"
    assert values["the command had ended after"] == "median 1.50 s, 1.00 to 2.00 s"


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"seen": (*SEEN, answer(15.0, code=500))}, "requests lost"),
        ({"seen": (*SEEN, answer(15.0, code=0))}, "requests lost"),
        ({"seen": (*SEEN, answer(13.0))}, "last answer after the write"),
        ({"back": (10.4,)}, "promotions, and ways back of one write"),
        ({"back": (10.4, 30.5, 31.0)}, "promotions, and ways back of one write"),
        ({"seen": ()}, "requests lost"),
    ],
    ids=["a failure", "no answer", "an answer that lingers", "no write", "two writes", "no request"],
)
def test_a_round_that_went_otherwise_fails_the_claim_it_breaks(changed, name):
    assert name in broken(**changed)
