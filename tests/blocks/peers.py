"""The zoo's networks under the names of timm and torchvision, and weights to compare them with."""

import timm
import torch
from torch import Tensor, nn
from torchvision import models

from blocks.network import Network
from blocks.weights.fit import load_state
from blocks.weights.layouts import source_arch
from blocks.zoo import ZOO, find_arch

RENAMED_BY_TIMM = {
    "mobilenetv3_large": "mobilenetv3_large_100",
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mnasnet_a1": "semnasnet_100",
    "mnasnet_b1": "mnasnet_100",
}
ONLY_AS_TF = [f"efficientnetv2_b{number}" for number in range(4)]
TIMM = {name: RENAMED_BY_TIMM.get(name, name) for name in ZOO if name not in ONLY_AS_TF}
TIMM_TF = {
    f"tf_{name}": f"tf_{RENAMED_BY_TIMM.get(name, name)}"
    for name in ZOO
    if name.startswith(("efficientnet", "mobilenetv3"))
}
TORCHVISION = {
    **{f"efficientnet_b{number}": f"efficientnet_b{number}" for number in range(8)},
    **{f"efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in "sml"},
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_large": "mobilenet_v3_large",
    "mobilenetv3_small": "mobilenet_v3_small",
    "mnasnet_b1": "mnasnet1_0",
    "resnet50": "resnet50",
    "resnext50_32x4d": "resnext50_32x4d",
}
PEERS = [
    *(("timm", name, peer) for name, peer in {**TIMM, **TIMM_TF}.items()),
    *(("torchvision", name, peer) for name, peer in TORCHVISION.items()),
]


def build_peer(source: str, peer: str) -> nn.Module:
    model: nn.Module = timm.create_model(peer) if source == "timm" else getattr(models, peer)()
    return model


@torch.no_grad()
def random_peer(source: str, peer: str, images: Tensor) -> nn.Module:
    """A peer with random weights, and the running statistics that `images` give it.

    Fresh statistics of 0 and 1 would hide a wrong epsilon or a swapped mean and variance, and
    made-up ones let the logits of deep networks grow beyond what 1e-5 can be asked of.
    """
    with torch.device("meta"):  # its own initialisation would take longer than the comparison
        model = build_peer(source, peer)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            parameter.normal_(0, (1.5 / fan_in) ** 0.5, generator=generator)
        else:
            parameter.normal_(0, 0.1, generator=generator)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.weight.add_(1.0)
        norm.reset_running_stats()
        norm.momentum = 1.0
    model.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def our_twin(source: str, name: str, peer: nn.Module) -> Network:
    """Our network of the zoo with the weights of `peer`, by the conventions of its library."""
    arch = source_arch(name, find_arch(name), source)
    with torch.device("meta"):
        network = Network(arch)
    network.to_empty(device="cpu")
    load_state(network, peer.state_dict(), source, name)
    return network.eval()
