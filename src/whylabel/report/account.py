"""What was done in a run, in sentences: as its stages have recorded it, not as it usually is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.report.contents import RunContents
from whylabel.report.current import all_own, setting, target_of
from whylabel.report.formats import count, decimal, is_number, percent

CONTROLS = {
    "shuffled_words": "their words in random order",
    "another_text": "those of other texts with the same label",
    "another_label": "those of texts with another label",
    "filler": "dots in place of words",
    "key_words": "their key words alone",
}
"""What a control makes of the reasonings."""

_LEARNT = {
    "label": "The classifier was trained on the labels alone, like the baseline: no reasoning took part.",
    "reasoning_label": "The classifier was trained to write the reasoning first and then the label, on those texts "
    "alone whose reasoning was kept.",
    "label_reasoning": "The classifier was trained to give the label first and then the reasoning, on those texts "
    "alone whose reasoning was kept. It labels at once: the reasoning takes part in training alone.",
    "dual": "The classifier was trained to label every text at once, and to write the reasoning first and then the "
    "label where a reasoning was kept.",
    "multi_task": "The classifier was trained to label every text and, as a task of its own, to write the reasoning "
    "where one was kept. It labels at once: the reasoning takes part in training alone.",
}
_SAME = ("training", "base_model", "prompt_style", "seed", "data.max_text_tokens", "classifier.negatives")
"""The settings that both trainings share if they were made by one recipe."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Account:
    """What was done; a text is empty where nothing is known of it.

    `reasonings`: how those of the training texts came about. `learnt`: what the classifier was trained on.
    `settings`: whether both models had the same. `budget`: what the baseline's training was given. `control`: how
    the reasonings were spoilt on purpose. `floors`: what the simple models are.
    `saw_labels`: whether the reasoner saw the labels of all its texts.
    """

    reasonings: str
    learnt: str
    settings: str
    budget: str
    control: str
    floors: str
    saw_labels: bool


def account_of(contents: RunContents) -> Account:
    """Return what was done in a run."""
    trained = made_with(contents, "train-classifier")
    augmented = made_with(contents, "augment")
    saw = setting(augmented, "augment.condition", "label") == "label" and not all_own(contents.augment)
    return Account(
        reasonings=" ".join(_reasonings(contents, augmented)),
        learnt=" ".join(_learnt(contents, trained)),
        settings=" ".join(_settings(contents)),
        budget=_budget(contents),
        control=str(setting(trained, "classifier.control", "")) if target_of(trained) != "label" else "",
        floors=_floors(contents.evaluation),
        saw_labels=bool(contents.augment) and saw,
    )


def made_with(contents: RunContents, stage: str) -> Mapping[str, Any]:
    """Return the recipe that a stage was made with: the one that it has recorded, else that of the run."""
    recorded = (contents.stages.get(stage) or {}).get("recipe")
    return recorded if isinstance(recorded, Mapping) else contents.recipe


def reasoner_name(recipe: Mapping[str, Any]) -> str | None:
    """Return the name of a ready reasoner, of a local model without its path; None if the run trains its own."""
    name = setting(recipe, "reasoner.model")
    if name is None:
        return None
    local = str(name).startswith((".", "/", "~")) or str(name).lower().endswith(".gguf")
    return Path(str(name)).name if local else str(name)


# -- the reasonings of the training texts ---------------------------------------------------------------------


def _reasonings(contents: RunContents, recipe: Mapping[str, Any]) -> Iterator[str]:
    augment = contents.augment
    rows, own = augment.get("rows"), (augment.get("kept_by_condition") or {}).get("own")
    if not is_number(rows):
        return
    if all_own(augment):
        yield f"All {count(rows)} training texts came with a reasoning, which they keep: no reasoner was asked."
        return
    suspect = (augment.get("dropped_by_reason") or {}).get("suspect label")
    if own:
        yield f"Of {count(rows)} training texts, {count(own)} came with a reasoning, which they keep."
    if suspect:
        yield f"{count(suspect)} texts have a label that looks wrong, and get no reasoning."
    whom = "each of the others" if own or suspect else f"each of {count(rows)} training texts"
    yield f"{_reasoner(recipe)} was asked for a reasoning about {whom}, {_condition(recipe)}."
    yield from _selection(contents, recipe)


def _reasoner(recipe: Mapping[str, Any]) -> str:
    name = reasoner_name(recipe)
    if setting(recipe, "augment.engine.name") == "scripted":
        return "A script in place of the reasoner (engine scripted)"
    if name is None:
        return "The reasoner"
    endpoint = setting(recipe, "reasoner.endpoint") is not None
    return f"The model {name}, behind an endpoint," if endpoint else f"The ready reasoner {name}"


def _condition(recipe: Mapping[str, Any]) -> str:
    return {
        "free": "without being shown the gold label",
        "free_then_label": "first without being shown the gold label, then with it where nothing acceptable was "
        "written",
    }.get(str(setting(recipe, "augment.condition")), "given the gold label")


def _selection(contents: RunContents, recipe: Mapping[str, Any]) -> Iterator[str]:
    candidates = setting(recipe, "augment.candidates", 1)
    verifier = setting(recipe, "augment.verification.verifier")
    if is_number(candidates) and candidates > 1:
        kept = (
            "the first that passes all filters"
            if verifier is None
            else "the one that leads to its label most clearly"
        )
        yield f"{count(candidates)} were drawn for each, and {kept} is kept."
    if verifier is not None:
        named = {
            "baseline": "Baselines that had not seen the text",
            "base": "The base model, untrained,",
        }.get(str(verifier), "Another model")
        yield f"{named} judged whether each leads to its label."
        if setting(recipe, "augment.verification.unverified") == "keep":
            yield "Those that do not were kept with a lower weight."
    decided = [name for name in contents.writers if name.startswith(("accepted by ", "edited by "))]
    if decided:
        number = sum(contents.writers[name] for name in decided)
        yield f"People accepted or edited {count(number)} of those that were kept."


# -- training -------------------------------------------------------------------------------------------------


def _learnt(contents: RunContents, recipe: Mapping[str, Any]) -> Iterator[str]:
    if not contents.classifier:
        return
    target = str(contents.classifier.get("target") or target_of(recipe))
    nothing_kept = contents.augment.get("kept") == 0
    if nothing_kept and target in ("dual", "multi_task"):
        yield "No reasoning was kept, so the classifier was trained on the labels alone."
        return
    share = setting(recipe, "classifier.reasoned_share", 0.5)
    learnt = _LEARNT.get(target, "")
    yield learnt.replace("every text", "texts") if is_number(share) and share > 0.5 else learnt
    if target in ("dual", "multi_task") and is_number(share):
        yield f"At most {percent(share, 0)} of the examples hold a reasoning."
    control = setting(recipe, "classifier.control")
    if control and target != "label":
        what = CONTROLS.get(str(control), "")
        yield f"These reasonings were spoilt on purpose ({control}{f': {what}' if what else ''})."
    several = setting(recipe, "classifier.reasonings_per_text", 1)
    if target != "label" and not control and is_number(several) and several > 1:
        yield f"Of each text up to {count(several)} acceptable reasonings took turns."
    rounds = contents.classifier.get("self_training") or []
    if rounds:
        often = "one round" if len(rounds) == 1 else f"{count(len(rounds))} rounds"
        kept = rounds[-1].get("kept")
        led = (
            f"{count(kept)} of the last led to the label, passed the filters and are learnt first"
            if kept
            else "none of the last led to the label and passed the filters"
        )
        own = (contents.augment.get("kept_by_condition") or {}).get("own")
        texts = "the texts that came without one" if own else "these texts"
        yield (
            f"Before that it wrote reasonings of its own for {texts}, without their labels, to see whether they "
            f"lead to it, in {often}: {led}."
        )
        if is_number(steps := _total(rounds, "steps")):
            yield f"{'The round' if len(rounds) == 1 else 'The rounds'} took {count(steps)} more optimizer steps."


def _settings(contents: RunContents) -> Iterator[str]:
    if not (contents.baseline and contents.classifier):
        return
    base, ours = (made_with(contents, stage) for stage in ("train-baseline", "train-classifier"))
    differences, budget = [*_differences(contents, base, ours)], _budget(contents)
    if differences:
        more = f", and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        yield f"The two were not trained with the same settings: {'; '.join(differences[:_NAMED])}{more}."
    else:
        but = " but for the budget" if budget else ""
        yield f"Both models start from the same base model, with the same settings and seed{but}."
    if budget:
        yield budget
    base_tokens = contents.baseline.get("tokens")
    our_tokens = _total([contents.classifier, *(contents.classifier.get("self_training") or [])], "tokens")
    if is_number(base_tokens) and is_number(our_tokens) and 0 < base_tokens != our_tokens:
        times = decimal(our_tokens / base_tokens, 1)
        yield f"The classifier was trained on {times} times as many tokens as the baseline."


def _total(trainings: Sequence[Mapping[str, Any]], key: str) -> Any:
    """Return the sum of a figure of trainings; None if one of them has not recorded it."""
    values = [one.get(key) for one in trainings]
    return sum(values) if all(map(is_number, values)) else None


def _train_rows(contents: RunContents) -> Iterator[Any]:
    """Yield the hashes of the training texts of both models, where they are known."""
    for stage in ("train-baseline", "train-classifier"):
        rows = ((contents.stages.get(stage) or {}).get("decided_by") or {}).get("train rows")
        if rows is not None:
            yield rows


def _differences(contents: RunContents, base: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    if len({*_train_rows(contents)}) > 1:
        yield "they had different training texts"
    for key in _SAME:
        yield from _unlike(key, setting(base, key), setting(ours, key))


def _unlike(key: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            if name not in ("report_to",):
                yield from _unlike(f"{key}.{name}", one.get(name), other.get(name))
    elif one != other:
        yield f"{key} {one} for the baseline, {other} for the classifier"


def _budget(contents: RunContents) -> str:
    if not (contents.recipe and "baseline" in contents.recipe):
        return ""
    budget = setting(made_with(contents, "train-baseline"), "baseline.budget")
    return {
        "matched_flops": "The baseline was trained with as much arithmetic as the classifier.",
        "matched_steps": "The baseline was trained for as many optimizer steps as the classifier.",
    }.get(str(budget), "")


# -- evaluation -----------------------------------------------------------------------------------------------


def _floors(evaluation: Mapping[str, Any]) -> str:
    several = any("micro_f1" in (evaluation.get(name) or {}) for name in ("baseline", "classifier"))
    kinds = {
        "majority": "the most frequent training labels" if several else "the most frequent training label",
        "tfidf": "a logistic regression on word counts for each label"
        if several
        else "logistic regression on word counts",
    }
    found = [words for name, words in kinds.items() if (evaluation.get("floors") or {}).get(name)]
    if not found:
        return ""
    if len(found) == 1:
        return f"The floor uses no language model: {found[0]}."
    return f"The two floors use no language model: {found[0]}, and {found[1]}."
