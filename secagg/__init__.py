"""What people's own programs import: `Task`, `Trained`, `RoundContext`, and the errors.

    import secagg

    class Risk:
        def train(self, model, data, round: secagg.RoundContext) -> secagg.Trained: ...

Rules: importing this loads nothing but the errors. A name is found by entry point (group `secagg.api`) when it is used.
So no room imports a role, and a machine without numpy or torch can still read `secagg.errors`. What each name is stands
in `__init__.pyi` for editors and type checkers. Leaves to others: what the names do (node.task).
"""

from importlib import metadata

from secagg import errors as errors

GROUP = "secagg.api"


def __getattr__(name: str) -> object:
    """Load a public name. Raises: AttributeError when there is none, as of any module."""
    for point in metadata.entry_points(group=GROUP, name=name):
        found: object = point.load()
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({"errors", *metadata.entry_points(group=GROUP).names})
