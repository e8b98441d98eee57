"""Row 25 for Paillier, door by door: a generated corpus of malformed things, every one refused with its reason."""

from collections import Counter

import pytest

from secagg.errors import SecaggError
from support.malformed import Malformed, numbers
from support.malformed_keys import keys
from support.malformed_messages import messages

CORPUS = [*keys(), *numbers(), *messages()]
DOORS = {
    "keys": 80, "phe": 10, "private key": 15, "ciphertexts": 80, "plaintexts": 8, "knowledge": 70, "decryption": 35,
    "partial": 60, "threshold key": 15, "share": 25, "slots": 20, "message": 140, "transcript": 40, "card": 25,
    "sealed share": 45, "custody": 35,
}  # fmt: skip
"""The least number of cases at each."""


@pytest.mark.parametrize("case", CORPUS, ids=[f"{case.door}: {case.name}" for case in CORPUS])
def test_what_is_malformed_is_refused_with_its_reason(case: Malformed) -> None:
    with pytest.raises(SecaggError) as caught:
        case.offer()
    assert (getattr(caught.value, "rule", "") or caught.value.code) == case.reason
    assert case.says in caught.value.cause
    assert caught.value.remedy


def test_the_corpus_is_as_large_as_is_asked_and_stands_at_every_door() -> None:
    assert len(CORPUS) >= 750
    assert len({(case.door, case.name) for case in CORPUS}) == len(CORPUS)
    assert Counter(case.door for case in CORPUS) >= Counter(DOORS)
