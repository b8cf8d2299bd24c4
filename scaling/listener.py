"""Who hears of a long run while it is on: nobody, unless a command or a caller asks to."""

from typing import Final, Protocol, TypeVar

from search.study.progress import Progress
from search.study.progress import Silent as SilentProgress

Plan = TypeVar("Plan", contravariant=True)


class Listener(Protocol[Plan]):
    """Hears what is about to be trained, and then of each training."""

    def begin(self, plan: Plan) -> Progress:
        """Trainings begin; what is returned is entered, and hears of each that ends."""


class Silent:
    """The listener that says nothing."""

    def begin(self, plan: object) -> Progress:
        """Nothing is said of the plan, nor of any training."""
        return SilentProgress()


SILENT: Final = Silent()
