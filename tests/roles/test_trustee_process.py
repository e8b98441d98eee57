"""Trustees as real processes: enrolled with tokens, a ceremony of files, daemons that are here."""

from collections.abc import Iterator

import pytest

from secagg.crypto.paillier.threshold import ThresholdKey
from secagg.demo.entrusting import ask_trustee, entrust, start_trustee
from secagg.demo.founding import Federation
from secagg.protocol.manifest import Custody
from secagg.wire.codec import decode
from support import federations

pytestmark = pytest.mark.processes
TRUSTEES = ("ana", "ben", "cyd")


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with federations.founded("entrusted") as found:
        found.start_aggregator()
        yield found


def test_trustees_enrol_take_part_in_a_ceremony_and_serve(federation: Federation) -> None:
    custody = decode(Custody, entrust(federation, TRUSTEES, 2).read_bytes())
    assert (custody.names(), custody.threshold, len(custody.acceptances)) == (TRUSTEES, 2, 3)
    assert decode(ThresholdKey, custody.key).public.bits == 2048
    for name in TRUSTEES:
        start_trustee(federation, name)
    for name in TRUSTEES:
        found = ask_trustee(federation, name)
        assert len(found["keys"]) == 1
        assert [wait["for"] for wait in found["waiting"]] == ["aggregator"] or found["roster"] is None
