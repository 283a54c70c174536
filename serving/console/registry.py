"""Which pages the console has: every module in `serving/console/pages` that declares a `PAGE`."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from serving.auth import Role

if TYPE_CHECKING:
    from serving.console.desk import Desk


@dataclass(frozen=True)
class Page:
    """One page of the console.

    Attributes:
        path: below ``/console``, such as ``/review`` or ``/rounds/{round_id}``.
        title: of the page, and its name in the navigation.
        icon: a name of the Material icons.
        needs: the role without which nobody sees it.
        build: draws the page; called in its content area, with the visit. May take its time.
        order: where it stands in the navigation.
        listed: whether the navigation names it; pages about one thing are reached from others.
        wide: whether it uses the whole width of the window.
    """

    path: str
    title: str
    icon: str
    needs: Role
    build: "Callable[[Desk], Awaitable[None]]"
    order: int = 100
    listed: bool = True
    wide: bool = False


@lru_cache
def pages() -> tuple[Page, ...]:
    """Return every page, in the order of the navigation; imports their modules."""
    from serving.console import pages as package

    found: list[Page] = []
    for each in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{each.name}")
        declared = getattr(module, "PAGE", ())
        found += declared if isinstance(declared, tuple) else (declared,)
    return tuple(sorted(found, key=lambda page: (page.order, page.title)))
