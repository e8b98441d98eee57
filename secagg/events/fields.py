"""The words of every event: one type for each field, with what it means, so that every event uses a word alike.

How to read it: a field of an event is one of these. The reference page is printed from the descriptions here, and a
test asks every field of every event for one.
Rules: names, numbers and sentences, never data; texts may be a peer's, so they are shown by secagg.daemon.writing.
Leaves to others: which event has which (the files beside this one).
"""

from typing import Annotated, Literal

from msgspec import Meta


def _word(meaning: str) -> Meta:
    return Meta(description=meaning)


# Where
Job = Annotated[str, _word("The job, by its name.")]
Round = Annotated[int, _word("The round of the job, from 1.")]
Attempt = Annotated[int, _word("The attempt at this round, from 1.")]
Step = Annotated[str, _word("The step of the round, by the name of its message; `presence` before a round.")]
Task = Annotated[str, _word("The task, by its name in node.toml.")]

# Who
Institution = Annotated[str, _word("The member that did it, by its name.")]
Member = Annotated[str, _word("The member that it is about, by its name.")]
Peer = Annotated[str, _word("The other end of a message, by its name.")]
Members = Annotated[tuple[str, ...], _word("The members, by their names.")]
Contributors = Annotated[tuple[str, ...], _word("Who is in the sum, by their names.")]
Missing = Annotated[tuple[str, ...], _word("Who is missing, by their names.")]
Awaited = Annotated[tuple[str, ...], _word("Who is waited for, by their names, as it was when the wait began.")]

# Why
Code = Annotated[str, _word("The error's code; docs/reference/errors.md has them all.")]
Rule = Annotated[str, _word("The rule by which it was refused; docs/reference/rules.md has them all.")]
Cause = Annotated[str, _word("What happened, in a sentence.")]
Remedy = Annotated[str, _word("What to do about it, in a sentence.")]
Reason = Annotated[str, _word("Why, in a sentence; empty when there is nothing to say.")]

# How much, how long
Needed = Annotated[int, _word("How many are needed.")]
Had = Annotated[int, _word("How many there are.")]
Lacking = Annotated[int, _word("How many are still missing.")]
Limit = Annotated[int, _word("The limit.")]
Total = Annotated[int, _word("How many there are in all.")]
Count = Annotated[int, _word("How many.")]
Rounds = Annotated[int, _word("How many rounds the job has.")]
MemberCount = Annotated[int, _word("How many members the list has.")]
Version = Annotated[int, _word("The version of the member list.")]
Size = Annotated[int, _word("Its length in bytes.")]
Seconds = Annotated[int, _word("How long it took, in seconds.")]
Since = Annotated[int, _word("Since when, in seconds since 1970.")]
Until = Annotated[int, _word("Until when at most, in seconds since 1970.")]
Strikes = Annotated[int, _word("How often this member has done so.")]

# What
Digest = Annotated[str, _word("SHA-256 of what it is about, in hexadecimal.")]
Path = Annotated[str, _word("The file on this machine.")]
Entry = Annotated[int, _word("The place in the log.")]
Kind = Annotated[str, _word("The kind of the message, or of what is near its limit.")]
Purpose = Annotated[str, _word("The timer or work that it happened in.")]
Command = Annotated[str, _word("The command that it happened in.")]
Change = Annotated[str, _word("What changed about where the data comes from.")]
State = Annotated[str, _word("How it stands now.")]
Sent = Annotated[Literal["sent", "dropped", "refused"], _word("What the member did in this step.")]
Overlap = Annotated[bool, _word("Whether it may also be summed over other members than before.")]
Lost = Annotated[bool, _word("Whether the round may have been opened, so that it is not repeated.")]
Numbers = Annotated[dict[str, float], _word("Numbers by their names; told to those who watch, and not logged.")]
Why = Annotated[str, _word("What the round cannot do without, in a sentence; empty when it goes on without.")]
Address = Annotated[str, _word("The address that it listens at.")]
Pid = Annotated[int, _word("The number of the process.")]
Token = Annotated[str, _word("The beginning of the token's id.")]
