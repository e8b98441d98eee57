"""`secagg trustee`: join a federation, hold the ceremony that makes a key, accept a share, serve.

Rule: no command opens a database; what a daemon knows, it says over its admin socket.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from secagg.daemon.joining import join_command
from secagg.daemon.options import configuration, current, options
from secagg.daemon.writing import say

if TYPE_CHECKING:
    from secagg.protocol.ceremony.files import Transcript

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLE = "trustee.toml"
FILE = click.Path(path_type=Path, dir_okay=False)
WORDS = click.option("--words", help="Two or more of the eight words, in order, as they were read out: w1,w2.")


def needs_paillier(command: Command) -> Command:
    """Say what to install where the big integers are missing; whoever only enrols or publishes needs none."""

    @wraps(command)
    def work(*given: Any, **options: Any) -> Any:
        from secagg.errors import BadConfiguration

        try:
            return command(*given, **options)
        except ModuleNotFoundError as error:
            if error.name != "gmpy2":
                raise
            raise BadConfiguration("gmpy2 is not installed.", "pip install 'secagg[paillier]'") from None

    return cast(Command, work)


@click.group(name="trustee")
@options
def trustee() -> None:
    """Hold a share of a key that nobody holds, and open sums."""


trustee.add_command(join_command("trustee", with_organisation=True))


@trustee.command()
@click.option("-o", "--output", required=True, type=FILE, help="Where the card goes.")
@options
@needs_paillier
def card(output: Path) -> None:
    """Write this trustee's card, which the dealer of a ceremony seals its share to."""
    from keyserver.trustee.ceremony import make_card
    from keyserver.trustee.config import Identity

    words = make_card(Identity(configuration(EXAMPLE)), output)
    say(str(output))
    _tell(f"Give {output} to the dealer and read your words out: {' '.join(words)}")


@trustee.command()
@click.argument("cards", nargs=-1, required=True, type=FILE, metavar="CARD...")
@click.option("--threshold", required=True, type=click.IntRange(1, 16), help="How many trustees open a sum (t).")
@click.option("--colluders", type=click.IntRange(0, 15), help="How many may collude (c'); the largest unless given.")
@click.option("--bits", default=3072, show_default=True, type=click.IntRange(2048, 8192), help="Of the modulus.")
@click.option("--profile", type=click.Choice(["provable", "fast"]), default="provable", help="fast: one trustee only.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new directory."
)
@click.option("--yes", is_flag=True, help="Do not ask: the words of every card were compared in another way.")
@options
@needs_paillier
def ceremony(
    cards: tuple[Path, ...], threshold: int, colluders: int | None, bits: int, profile: str, output: Path, yes: bool
) -> None:
    """Be the dealer: on an offline machine, make a key and a share of it for each CARD, then forget."""
    from importlib.metadata import version

    from keyserver.trustee.ceremony import deal, open_cards, require_new
    from keyserver.trustee.showing import progress
    from secagg.crypto.paillier.keys import Profile
    from secagg.crypto.rng import system_rng
    from secagg.daemon.clock import wall
    from secagg.protocol.ceremony.dealing import Plan, check_plan, largest_collusion

    most = max(0, largest_collusion(len(cards), threshold))
    plan = Plan(
        threshold, most if colluders is None else colluders, bits, cast(Profile, profile), f"secagg {version('secagg')}"
    )
    require_new(output)
    files, found = open_cards(cards)
    check_plan(plan, len(found))
    for one in found:
        _tell(f"{one.member.name} of {one.member.organisation}: {' '.join(one.words)}")
    _warn([one.member.name for one in found], plan.threshold, plan.colluders)
    if not yes:
        click.confirm("Did every trustee read out these words?", abort=True, err=True)
    with progress(_tell, color=current().color) as watch:
        held = deal(plan, files, output, system_rng, wall, watch)
    for line in held.told:
        _tell(line)
    _tell("Next:")
    for name in (one.member.name for one in found):
        _tell(f"  {name}: gets key.bin, transcript.json, {name}.share; runs `secagg trustee accept {name}.share`")
    _tell(f"  you: read these words out to every trustee: {' '.join(held.words)}")
    _tell("  the operator: gets key.bin, transcript.json and the acceptances; runs `secagg trustee custody`")
    say(str(held.directory))


@trustee.command()
@click.argument("share", type=FILE)
@click.option("--key", type=FILE, help="key.bin; beside SHARE unless given.")
@click.option("--transcript", type=FILE, help="transcript.json; beside SHARE unless given.")
@WORDS
@click.option("--yes", is_flag=True, help="Accept without words: the transcript was compared in another way.")
@click.option("-o", "--output", required=True, type=FILE, help="Where the acceptance goes.")
@options
@needs_paillier
def accept(share: Path, key: Path | None, transcript: Path | None, words: str | None, yes: bool, output: Path) -> None:
    """Check the share of a key, keep it, and sign that this trustee accepts the key."""
    from keyserver.trustee import ceremony as work
    from keyserver.trustee import files
    from keyserver.trustee.config import Identity
    from secagg.protocol.ceremony.files import read_transcript

    own = Identity(configuration(EXAMPLE))
    public, written = key or share.parent / files.KEY, transcript or share.parent / files.TRANSCRIPT
    found = read_transcript(files.read(written))
    _warn([place.name for place in found.trustees], found.threshold, found.colluders)
    heard = None if yes else (words or click.prompt("Two of the words that the dealer reads out", err=True))
    spoken = None if heard is None else heard.replace(",", " ").split()
    digest = work.accept(own, share, public, written, spoken, output)
    _tell(f"The share of key {digest[:16]}… fits and is kept; delete {share}. Give {output} to the operator.")
    say(str(output))


@trustee.command()
@click.argument("acceptances", nargs=-1, required=True, type=FILE, metavar="ACCEPTANCE...")
@click.option("--key", required=True, type=FILE, help="key.bin of the ceremony.")
@click.option("--transcript", required=True, type=FILE, help="transcript.json of the ceremony.")
@click.option("-s", "s", default=1, show_default=True, type=click.IntRange(1, 3), help="Above 1 with one trustee only.")
@click.option("-o", "--output", required=True, type=FILE, help="Where the custody goes that job.toml names.")
@options
@needs_paillier
def custody(acceptances: tuple[Path, ...], key: Path, transcript: Path, s: int, output: Path) -> None:
    """Put a key and enough acceptances together, for jobs of engine paillier."""
    from keyserver.trustee.ceremony import put_together

    found = put_together(key, transcript, acceptances, s, output)
    _tell(_numbers(found))
    say(str(output))


@trustee.command()
@click.option("--key", required=True, type=FILE, help="key.bin of the ceremony.")
@click.option("--transcript", required=True, type=FILE, help="transcript.json of the ceremony.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Of the key server, instead of --config.")
@options
def publish(key: Path, transcript: Path, state_dir: Path | None) -> None:
    """Let the key server state in the directory that this key was dealt, for everybody to see."""
    from keyserver.asking import decide
    from keyserver.requests import LogKey
    from keyserver.trustee.files import read

    told = read(transcript).decode(errors="replace")
    done = decide(state_dir, LogKey(read(key).hex(), told))
    say(f"published {done.key}")


@trustee.command()
@options
@needs_paillier
def serve() -> None:
    """Judge rounds and open sums until SIGTERM; prints `ready trustee NAME` once everything is open."""
    from keyserver.trustee.process import serve as run

    given = current()
    run(configuration(EXAMPLE), verbosity=given.verbosity, color=given.color)


@trustee.command()
@options
def status() -> None:
    """Show the roster, the keys and the rounds of this trustee, who it waits for, and what it refused."""
    from keyserver.trustee.process import admin_socket
    from keyserver.trustee.requests import Status
    from secagg.daemon.printing import show_status

    show_status(admin_socket(configuration(EXAMPLE)), Status())


def _numbers(found: "Transcript") -> str:
    who = f"{found.threshold} of {len(found.trustees)} trustees"
    return f"{who} open sums under a key of {found.bits} bits; {found.colluders} may collude."


def _warn(names: list[str], threshold: int, colluders: int) -> None:
    """Say who can read what, where it is more than nobody."""
    if len(names) == 1:
        _tell(f"WARNING: {names[0]} alone holds the whole key and can read every single update. For small trials only.")
    elif not colluders:
        _tell("WARNING: no trustee may collude (c' = 0); a dishonest one can help to open two sums. For trials.")
    if len(names) > 1:
        _tell(f"Any {threshold} of {', '.join(names)} together can read every single update.")


def _tell(text: str) -> None:
    say(text, err=True)
