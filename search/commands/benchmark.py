"""`python -m search benchmark`: samplers x seeds on a table of trained networks."""

from omegaconf import OmegaConf

from blocks.console import console
from search.config.compose import compose_config, register_schema


def run(arguments: list[str]) -> None:
    """Run what is missing of a benchmark; `--cfg job` prints its settings."""
    from search.benchmark.compare import benchmark
    from search.benchmark.config import BenchmarkConfig
    from search.commands.screens.benchmark import show_benchmark

    register_schema("benchmark_schema", BenchmarkConfig)
    if arguments[:2] == ["--cfg", "job"]:
        config = compose_config("benchmark", arguments[2:], BenchmarkConfig)
        console.print(OmegaConf.to_yaml(OmegaConf.structured(config)), markup=False, end="")
        return
    show_benchmark(benchmark(compose_config("benchmark", arguments, BenchmarkConfig)))
