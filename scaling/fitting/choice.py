"""Which form of surface is used: the one that best predicts networks it was not shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from blocks.threads import on_one_thread
from scaling.compound import ScalingError
from scaling.fitting.additive import Additive
from scaling.fitting.forms import Fitted, Form
from scaling.fitting.gaussian import GaussianProcess
from scaling.fitting.observations import Observations
from scaling.fitting.quadratic import Quadratic

SPARE: Final = 3
"""Networks that a form needs beyond its parameters: with fewer its errors are its own noise."""

FORMS: Final[dict[str, Callable[[Observations], Form]]] = {
    "quadratic": Quadratic,
    "additive": Additive,
    "gp": GaussianProcess,
}
"""Form → what fits it."""


def parameters(form: str, axes: int) -> int:
    """Numbers that a form of so many axes is told by."""
    if form == "quadratic":
        return 1 + axes + axes * (axes + 1) // 2
    return 1 + 2 * axes  # e₀, then a factor and an exponent; trend and lengths


def enough(form: str, axes: int) -> int:
    """Different networks that a form needs."""
    return parameters(form, axes) + SPARE


def usable_forms(asked: str | None, networks: int, axes: int) -> list[str]:
    """The forms that so many networks can tell: the one asked for, or all.

    Raises:
        ScalingError: too few for it, or for any.
    """
    names = [asked] if asked is not None else list(FORMS)
    if axes > 3:
        # Its optimum would be the same at every schedule: what is asked could not be answered.
        names = [name for name in names if name != "additive"]
        if not names:
            raise ScalingError(
                "fit.form=additive has no place for fit.epochs or fit.train_fraction as a "
                "dimension; expected quadratic or gp"
            )
    found = [name for name in names if networks >= enough(name, axes)]
    if not found:
        least = min(enough(name, axes) for name in names)
        what = f"fit.form={asked}" if asked is not None else "a surface"
        raise ScalingError(
            f"{networks} different networks are too few for {what} in {axes} dimensions; expected "
            f"{least} or more (fit.points)"
        )
    return found


@dataclass(frozen=True)
class Choice:
    """The forms that were compared, their leave-one-out errors in accuracy, and the best."""

    forms: dict[str, Form]
    errors: dict[str, float]
    chosen: str
    fitted: Fitted


@on_one_thread
def choose_form(observations: Observations, names: Sequence[str]) -> Choice:
    """Fit every named form; the best predicts left-out networks best.

    Raises:
        ScalingError: the networks do not tell a form's parameters apart.
    """
    forms, fits, errors = {}, {}, {}
    for name in names:
        try:
            forms[name] = FORMS[name](observations)
        except ScalingError:
            if len(names) == 1:
                raise
            continue
        fits[name] = forms[name].fit(observations.itself())
        errors[name] = float(fits[name].leave_one_out()[0])
    if not forms:
        FORMS[names[0]](observations)  # says why
    chosen = min(errors, key=lambda name: errors[name])
    return Choice(forms, errors, chosen, fits[chosen])
