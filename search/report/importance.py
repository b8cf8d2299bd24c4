"""Which choices of the space mattered: PED-ANOVA over the trials (Watanabe et al., 2304.10255)."""

import warnings
from typing import Any, Final

from blocks.errors import one_line
from search.report.blocks import Figure, Section, Text
from search.report.charts import bars, figure
from search.report.facts import Facts
from search.study.objective import Objective

LEAST: Final = 50
"""Trials below which fewer than five of the best would tell it."""
MOST: Final = 20
"""Choices that are shown."""


def importance(facts: Facts) -> Section | None:
    """Shares of importance by choice; None of too few trials, or where there is no journal."""
    journal = facts.folder / "optuna.journal"
    if len(facts.completed) < LEAST or not journal.is_file():
        return None
    try:
        found = _ped_anova(facts, str(journal))
    except (ValueError, KeyError, RuntimeError) as error:
        return Section(
            "importance",
            "Which choices mattered",
            [Text(f"Optuna does not tell from this journal: {one_line(error)}")],
        )
    if not found:
        return None
    shown = dict(sorted(found.items(), key=lambda each: (-each[1], each[0]))[:MOST])
    said = (
        f"How much each choice of the space tells the best tenth of {len(facts.completed)} "
        "candidates from all (Optuna's PED-ANOVA, shares of the whole)."
        + (f" The {MOST} largest of {len(found)}." if len(found) > MOST else "")
    )
    chart = figure(
        [bars(list(shown), list(shown.values()), [f"{value:.1%}" for value in shown.values()])],
        "importance", "", yaxis={"autorange": "reversed", "type": "category"},
        xaxis={"tickformat": ".0%"},
    )  # fmt: skip
    height = 24 * len(shown) + 90
    return Section(
        "importance",
        "Which choices mattered",
        [Text(said), Figure("importance", chart, said, height=height)],
    )


def _ped_anova(facts: Facts, journal: str) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        known = _proposals(journal, facts.config.study)
        values = {record.number: _value(facts, record) for record in facts.completed}
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=proposal.params,
                    distributions=proposal.distributions,
                    value=values[number],
                )
                for number, proposal in known.items()
                if number in values and proposal.params
            ]
        )
        if len(study.trials) < LEAST:
            return {}
        evaluator = PedAnovaImportanceEvaluator()
        return dict(get_param_importances(study, evaluator=evaluator))


def _proposals(journal: str, study: str) -> dict[int, Any]:
    """By number what the sampler proposed. The journal is read, and not written."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(journal))
    number = storage.get_study_id_from_name(study)
    return {trial.number: trial for trial in storage.get_all_trials(number, deepcopy=False)}


def _value(facts: Facts, record: Any) -> float:
    """More of it being better: by the objective, or by the metric where the aim is a front."""
    objective: Objective = facts.objective
    if objective.aim == "pareto" or f"val_{facts.quality.loss}" not in record.metrics:
        return facts.quality.of(record.metrics)
    return objective.score(record)
