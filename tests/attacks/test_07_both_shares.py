"""Row 7: a node reveals the b-share or the key share of a peer, never both, and derives itself which."""

from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import Answer, Unmask
from secagg.protocol.masks.phases import Agreed
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
from support.adversary import stop_before
from support.federation import make


def test_the_answer_holds_one_kind_of_share_for_each_peer() -> None:
    scene = stop_before("Open", federation=make(5))
    before = scene.party.phase
    assert isinstance(before, Agreed)
    done = scene.deliver(scene.message.data)
    envelope = decode(Signed, done.send[0][1], LIMIT_BULK)
    info = keys.answer_info(scene.scope, "node-00", scene.table.manifest.aggregator)
    inner = decode(Signed, scene.federation.opening.open(decode(Unmask, envelope.body, LIMIT_BULK).sealed, info))
    answer = decode(Answer, inner.body)
    seeds, privates = ({share.owner for share in part} for part in (answer.seeds, answer.keys))
    assert seeds == set(before.u3_names)
    assert privates == set(before.u2_names) - set(before.u3_names)
    assert not seeds & privates
