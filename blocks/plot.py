"""The plot of a profile: one image at a time beside a server's batches."""

from collections.abc import Sequence
from typing import Final

import matplotlib.ticker

from blocks.figure import new_figure, png
from blocks.latency.values import RUNTIMES, Latency

COLOURS: Final = dict(zip(RUNTIMES, ("#c1440e", "#2a6f4e", "#1f5fa8"), strict=True))
LINES: Final = ("-", "--", ":", "-.")


def plot_latency(latencies: Sequence[Latency], title: str) -> bytes:
    """PNG: latency and images/s against batch size, a line per runtime and number of threads.

    The bars are the 95% intervals of the medians.
    """
    figure = new_figure(10, 4.6)
    light, server = figure.subplots(1, 2)
    threads = sorted({each.threads for each in latencies})
    series = dict.fromkeys((each.runtime, each.threads) for each in latencies)
    for runtime, count in series:
        points = sorted(
            (each for each in latencies if (each.runtime, each.threads) == (runtime, count)),
            key=lambda each: each.batch,
        )
        style = {
            "color": COLOURS[runtime],
            "linestyle": LINES[threads.index(count) % len(LINES)],
            "marker": "o",
            "markersize": 4,
            "linewidth": 1.3,
            "capsize": 2,
            "label": f"{runtime}, {count} thread{'s' if count > 1 else ''}",
        }
        batches = [each.batch for each in points]
        medians = [each.median_ms for each in points]
        below = [each.median_ms - each.low_ms for each in points]
        above = [each.high_ms - each.median_ms for each in points]
        light.errorbar(batches, medians, yerr=(below, above), **style)
        rates = [each.images_per_second for each in points]
        slowest = [1e3 * each.batch / each.high_ms for each in points]
        fastest = [1e3 * each.batch / each.low_ms for each in points]
        server.errorbar(
            batches,
            rates,
            yerr=(
                [rate - low for rate, low in zip(rates, slowest, strict=True)],
                [high - rate for rate, high in zip(rates, fastest, strict=True)],
            ),
            **style,
        )
    light.set_title("a light device: milliseconds of one batch")
    light.set_ylabel("latency (ms), median")
    light.set_yscale("log")
    light.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    light.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    light.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    server.set_title("a server: images per second")
    server.set_ylabel("throughput (images/s)")
    server.set_ylim(bottom=0)
    for axes in (light, server):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({each.batch for each in latencies}))
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_xlabel("batch size (images)")
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=10)
    handles, labels = light.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return png(figure)
