"""From a round in process to a bundle on disk, as the aggregator keeps it.

Leaves to others: the format (secagg.log.bundle), the round (secagg.rehearsal.run).
"""

from secagg.log.bundle import BundleWriter
from secagg.protocol.lanes import upload_root
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.run import Table
from secagg.wire.codec import encode


def keep(writer: BundleWriter, table: Table, end: Closed | Failed) -> None:
    """Store a round's side files and uploads and, if it has one, its result and salt."""
    for data in table.files.values():
        writer.put_file(data)
    for upload in table.uploads.values():
        writer.put_upload(upload_root(table.manifest, upload).hex(), upload)
    if isinstance(end, Closed):
        writer.put_result(end.scope.round, encode(end.published), end.salt)
