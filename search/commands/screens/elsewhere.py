"""What `plan` shows of images and GPUs that are not here."""

from rich.table import Table

from blocks.console import console, duration, millions
from search.assess.elsewhere import FarPlan


def show_elsewhere(found: FarPlan) -> None:
    """Print hours, memory and network, and what they were counted from."""
    given, config = found.elsewhere, found.config
    console.print(
        f"planned, not run: from {given.step_ms:g} ms for a training step of {given.step_images} "
        f"images of {given.step_arch} at {config.proxy.size} px ({millions(found.step_macs)} "
        f"macs), a mean candidate having {millions(found.macs)}"
    )
    table = Table(title=f"{given.gpus} GPUs, {found.nodes} of {given.node_gpus} GPUs a node",
                  title_justify="left")  # fmt: skip
    table.add_column("what")
    table.add_column("predicted", justify="right")
    for name, seconds in found.steps:
        table.add_row(name, duration(seconds))
    table.add_row("in all", duration(found.seconds), style="bold")
    table.add_row("GPU hours", f"{given.gpus * found.seconds / 3600:.0f}")
    gigabytes = 1e9
    table.add_row("memory of a training on its GPU", f"{found.gpu_bytes / gigabytes:.1f} GB")
    table.add_row("files, which one machine reads once", f"{found.files / gigabytes:.0f} GB")
    table.add_row(
        "pixels: memory of a node, and once through the network to it",
        f"{found.pixels / gigabytes:.0f} GB",
    )
    table.add_row("  of all nodes", f"{found.nodes * found.pixels / gigabytes:.0f} GB")
    table.add_row("what one GPU reads of them", f"{found.reads / 1e6:.0f} MB/s")
    table.add_row(
        "  all GPUs, were they on a shared disk", f"{given.gpus * found.reads / gigabytes:.1f} GB/s"
    )
    table.add_row("network, of a trial: its weights", f"{found.result / 1e6:.0f} MB")
    console.print(table)
