"""The command `secagg`: a group that finds its nouns by entry point and imports one only when it is used.

Rules: this file and its imports load click and the errors, nothing else. So `secagg --help` is quick, and works on a
machine where a noun's dependencies are missing. A noun is one file with one click command, declared in the group
`secagg.commands`. Its one-line help stands in `HELP` so that listing nouns imports none of them.
Leaves to others: the global options and how an error is printed (secagg.daemon.options).
Source: docs/operations.md "Commands".
"""

from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import click

from secagg.daemon.faults import explained
from secagg.daemon.options import explain, options
from secagg.daemon.writing import say
from secagg.errors import BadConfiguration, SecaggError, UsageError

GROUP = "secagg.commands"

HELP = {
    "aggregator": "Add up protected updates and publish the sum.",
    "audit": "Check afterwards, offline, that every round was done by the rules.",
    "bench": "Measure what an engine costs, and that its sum is exact.",
    "broker": "Relay ciphertexts between the members of a federation.",
    "demo": "Run a whole federation on this machine.",
    "job": "Submit and follow jobs.",
    "keyserver": "Enrol institutions and publish who they are.",
    "member": "Show, approve and revoke members.",
    "node": "Join a federation, train beside the data, contribute.",
    "roster": "Show and verify the signed list of members.",
    "token": "Create and list one-time enrolment tokens.",
    "trustee": "Hold a share of a key that nobody holds, and open sums.",
}


def require_ours(package: str) -> None:
    """Check that a package is the one that was installed with this file, and not a folder of somebody else's.

    Raises: BadConfiguration naming what hides it: `node` and `aggregator` are names that other folders have too.
    """
    spec, beside = PathFinder.find_spec(package), Path(__file__).resolve().parents[1]
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    if found is not None and found != beside / package / "__init__.py":
        hiding = found.parent if found.name == "__init__.py" else found
        raise BadConfiguration(
            f"{hiding} hides a package of secagg that is called {package} too.",
            "Run the command in another directory, take that place out of PYTHONPATH, or rename it.",
        )


def misuse(error: click.UsageError) -> click.UsageError:
    """Return click's error with our exit code; its class stays, because some print themselves in their own way."""
    vars(error).update(exit_code=UsageError.exit_code)
    return error


class Nouns(click.Group):
    """A click group whose commands are the entry points of `secagg.commands`, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all nouns that are installed, sorted."""
        return sorted(metadata.entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load and return the noun `cmd_name`, or None when there is none."""
        for point in metadata.entry_points(group=GROUP, name=cmd_name):
            require_ours(point.value.partition(".")[0])
            command = point.load()
            if not isinstance(command, click.Command):
                raise UsageError(f"{point.value} is not a command.", "Reinstall the package that declares it.")
            return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of nouns without importing any of them."""
        rows = [(name, HELP.get(name, "")) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Nouns"):
                formatter.write_dl(rows)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the line up to the noun."""
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            raise misuse(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the noun; an error of ours becomes one sentence of cause, one of remedy, and its exit code."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise misuse(error) from None
        except SecaggError as error:
            say(*explain(error), err=True)
            return ctx.exit(error.exit_code)
        except OSError as error:
            if (full := explained(error)) is None:
                raise
            say(*explain(full), err=True)
            return ctx.exit(full.exit_code)


@click.group(cls=Nouns)
@options
@click.version_option(package_name="secagg", message="secagg %(version)s")
def main() -> None:
    """Train one model, or sum vectors, on data that may not be pooled.

    Exit codes: 0 done, 64 usage, 65 verification failed, 66 bundle incomplete, 69 peer unavailable, 75 try later.
    Further, 76 protocol violation, 77 not authorised, 78 bad configuration, 1 a bug.
    """


if __name__ == "__main__":
    main()
