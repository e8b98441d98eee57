"""Limits of everything that arrives, each justified where it stands; the codec and the broker check them first.

Rule: a limit is compared with a length before anything of that length is allocated.
"""

LIMIT_ROUTING = 128
"""Routing frame: two names of at most 64 bytes would not fit together with an id; role names in use are far shorter."""

LIMIT_HEADER = 4096
"""Header frame: the largest header is a signed chunk header (about 500 bytes)."""

LIMIT_CONTROL = 65_536
"""Header and body of one message on the control socket."""

LIMIT_SPLIT = 32_768
"""Larger messages go over the bulk socket, so that a list of keys cannot fill the control queue."""

LIMIT_BULK = 1_048_576 + 4096
"""One frame on the bulk socket: a chunk of 1 MiB and its header."""

LIMIT_LIST = 64 * 1_048_576
"""A list of signed messages of every member: U2 of a thousand members on the complete graph has 45 MB."""

CHUNK = 524_288
"""Default chunk of an upload: past the knee of CURVE throughput, small enough to resend, and every one is signed."""

LIMIT_ENROL = 16_384
"""One message on the enrolment socket, which strangers may use."""
