"""The formats by name: what each reads and writes. Knows nothing of their shapes.

Imports a format's module once it is asked for.
"""

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module

from feedback.errors import Invalid
from feedback.formats.names import In
from feedback.formats.records import Entry
from feedback.formats.source import Source


def entries(name: In, sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read sources of a format.

    Args:
        name: which; any but ``heed``, which puts rows back instead (`feedback.formats.restoring`).
        sources: what to read.
        scale: the largest number of a numeric rating, for formats that do not say.

    Raises:
        Invalid: the format has no numbers whose scale could be in question.
    """
    module = import_module(f"feedback.formats.{name}")
    if "scale" in inspect.signature(module.entries).parameters:
        found: Iterator[Entry] = module.entries(sources, scale=scale)
        return found
    if scale is not None:
        raise Invalid(f"{name} holds no numbers whose scale is in question.", param="scale")
    found = module.entries(sources)
    return found
