"""Published networks that are trained beside a member, cut to its images and of its macs."""

from blocks.cost import count
from scaling.training.targets import Target
from search.data.splits import ImageData
from search.space.budget import Budget
from search.space.references import make_reference

TOLERANCE = 0.02
"""Share by which a rival may miss its member's macs."""


def rival_of(target: Target, name: str, data: ImageData) -> Target:
    """The published network `name` at the images and the macs of a member.

    Raises:
        ArchError: there is no such network.
        ConfigError: it cannot be brought to these macs; names the nearest.
    """
    macs = count(target.arch, data.num_classes).macs
    budget = Budget("macs", round(macs * (1 + TOLERANCE)), float(macs), TOLERANCE)
    found = make_reference(
        name, target.arch.image, target.arch.in_channels, budget, data.num_classes
    )
    return Target(
        f"{target.name}-{name}", found.arch, target.phi, rival_of=target.name, made=found.describe()
    )
