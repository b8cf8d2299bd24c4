"""The measuring tool that referees the arithmetic: the only use of fvcore."""

import warnings
from typing import TYPE_CHECKING

from blocks.cost.counting import Cost, count
from blocks.errors import CostMismatchError

if TYPE_CHECKING:
    from blocks.network import Network


def measure_flops_fvcore(network: "Network") -> dict[str, int]:
    """fvcore's own count of a built network, by operator, for one image in eval mode.

    Runs a forward pass on the device and in the number format of the network, and keeps every
    intermediate tensor until it is done. The network is given back in the mode it came in.
    """
    # Imported here, as arithmetic needs no tensors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

    arch = network.arch
    was_training = network.training
    network.eval()
    try:
        image = next(network.parameters()).new_zeros(1, arch.in_channels, *arch.image)
        # tracer_warnings: the tracer speaks of values that a plain CNN never branches on.
        analysis = (
            FlopCountAnalysis(network, image)
            .unsupported_ops_warnings(False)
            .uncalled_modules_warnings(False)
            .tracer_warnings("none")
        )
        return {operator: int(flops) for operator, flops in analysis.by_operator().items()}
    finally:
        network.train(was_training)


def referee(network: "Network") -> Cost:
    """The arithmetic cost of a built network, confirmed by fvcore and by its own parameters.

    Raises:
        CostMismatchError: arithmetic and measurement differ.
    """
    num_classes = network.classifier.out_features
    cost = count(network.arch, num_classes)
    measured = sum(measure_flops_fvcore(network).values())
    params = sum(parameter.numel() for parameter in network.parameters())
    if (measured, params) != (cost.flops_fvcore, cost.params):
        raise CostMismatchError(
            f"{network.arch}: counted flops_fvcore {cost.flops_fvcore}, params {cost.params}; "
            f"fvcore measured {measured}, the network has {params} params"
        )
    return cost
