"""The results of the evaluation in sentences that claim no more than the numbers support."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.report.formats import count, decimal, duration, is_number, p_value, percent, points

SIGNIFICANCE = 0.05
MODEL_NAMES = {
    "majority": "Majority label",
    "tfidf": "TF-IDF + logistic regression",
    "embeddings": "Embeddings + logistic regression",
    "head": "Classification head",
    "encoder": "Encoder, fine-tuned",
    "setfit": "Encoder, SetFit",
    "baseline": "Baseline (label only)",
    "classifier": "Classifier",
}
_BY_LABEL_NAMES = {
    "majority": "Most frequent labels",
    "tfidf": "TF-IDF + a logistic regression for each label",
    "embeddings": "Embeddings + a logistic regression for each label",
}
MODE_NAMES = {
    "fast": "label at once",
    "reasoned": "reasoning, then label",
    "vote": "several reasonings, averaged",
    "adaptive": "reasoning where unsure",
    "blend": "at once and reasoned, blended",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`claim` and `figures` form one sentence; `notes` are further sentences that a reader must know."""

    claim: str
    figures: str
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The claim with its figures."""
        return f"{self.claim}: {self.figures}" if self.figures else f"{self.claim}."


def model_name(name: str, model: Mapping[str, Any]) -> str:
    """Return the display name of a model; for the classifier with its mode."""
    mode = MODE_NAMES.get(model.get("mode") or "") if name == "classifier" else None
    names = {**MODEL_NAMES, **_BY_LABEL_NAMES} if "micro_f1" in model else MODEL_NAMES
    return f"{names.get(name, name)} ({mode})" if mode else names.get(name, name)


def verdict(evaluation: Mapping[str, Any]) -> Verdict:
    """Return the verdict of `evaluation/metrics.json`; McNemar's test decides if a difference counts as shown.

    It speaks of reasoning where the classifier has learnt any: not with the target `label`, nor with a control, whose
    reasonings are spoilt.
    """
    baseline, classifier = evaluation.get("baseline") or {}, evaluation.get("classifier") or {}
    paired = evaluation.get("paired") or {}
    notes = tuple(_notes(evaluation))
    if is_number(paired.get("difference")) and baseline and classifier:
        low, high = interval_of(paired, "ci95")
        reasoned = learnt_reasoning(evaluation)
        ours, base = (percent(model.get("accuracy")) for model in (classifier, baseline))
        figures = (
            f"{ours} {_with_reasoning(classifier)} against {base} without"
            if reasoned
            else f"{ours} of the classifier against {base} of the baseline"
        )
        figures += (
            f" (difference {points(paired['difference'])} points, 95\u00a0% CI {points(low)} to {points(high)},"
            f" {p_value(paired.get('mcnemar_p'))}, {count(classifier.get('n'))} test texts)."
        )
        return Verdict(_claim(paired, reasoned), figures, notes)
    for name, model in (("classifier", classifier), ("baseline", baseline)):
        if model:
            low, high = interval_of(model, "accuracy_ci95")
            figures = (
                f"{percent(model.get('accuracy'))} of {count(model.get('n'))} test texts are right"
                f" (95\u00a0% CI {percent(low)} to {percent(high)})."
            )
            return Verdict(f"Only the {name} has been evaluated", figures, notes)
    return Verdict("This run has not been evaluated yet", "")


def learnt_reasoning(evaluation: Mapping[str, Any]) -> bool:
    """Return whether a classifier was trained on reasonings that nobody has spoilt; so it is if not known.

    `evaluation` is the content of `evaluation/metrics.json`, as `read_run` returns it.
    """
    return evaluation.get("target") != "label" and not evaluation.get("control")


def _with_reasoning(classifier: Mapping[str, Any]) -> str:
    mode = classifier.get("mode")
    return "with reasoning in training alone" if mode == "fast" else "with reasoning"


def _claim(paired: Mapping[str, Any], reasoned: bool) -> str:
    difference = paired["difference"]
    p = paired.get("mcnemar_p")
    shown = is_number(p) and p < SIGNIFICANCE
    if not reasoned:
        return difference_claim(difference if shown else 0)
    if shown:
        return "Reasoning paid on this data" if difference > 0 else "Reasoning cost accuracy on this data"
    if difference > 0:
        return "No gain from reasoning could be shown on this data"
    if difference < 0:
        return "Reasoning did not pay on this data"
    return "Reasoning made no difference to accuracy on this data"


def difference_claim(shown: float) -> str:
    """Return what is said of two models by the sign of the difference that is shown, 0 if none is."""
    if shown > 0:
        return "The classifier labels better than the baseline on this data"
    if shown < 0:
        return "The classifier labels worse than the baseline on this data"
    return "No difference between classifier and baseline could be shown on this data"


def seen_note(evaluation: Mapping[str, Any]) -> str | None:
    """Return the note that the model was trained on some of the test texts, or that this is not known."""
    if "seen_in_training" not in evaluation:
        return None
    seen = evaluation["seen_in_training"]
    if seen is None:
        return (
            "Whether the model was trained on these texts is not known: the data of its training are not there, or"
            " have changed."
        )
    rows, leaked = seen.get("rows"), seen.get("leaked")
    if not leaked:
        return None
    how_many = f"All {count(rows)}" if leaked == rows else f"{count(leaked)} of {count(rows)}"
    return (
        f"{how_many} test texts are among those that the model was trained on: there the figures say what it has"
        " learnt by heart, not how it labels new texts."
    )


def _notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    if note := seen_note(evaluation):
        yield note
    yield from _paired_notes(evaluation)
    yield from best_notes(evaluation)
    yield from _floor_notes(evaluation)
    yield from _cost_notes(evaluation)
    yield from rate_notes(evaluation)


def _paired_notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    paired = evaluation.get("paired") or {}
    p = paired.get("mcnemar_p")
    if is_number(p) and p >= SIGNIFICANCE:
        (low, high), texts = interval_of(paired, "ci95"), f"these {count(paired.get('n'))} test texts"
        if low == high:
            yield f"The two models are right on the same ones of {texts}, which thus show no difference."
        else:
            yield (
                f"The difference may be chance: {texts} are compatible with"
                f" a true difference anywhere from {points(low)} to {points(high)} points."
            )
    if paired:
        yield seed_note()


_CHOSEN_HERE = "It was chosen on these same texts, so its figure is a little too high"


def seed_note() -> str:
    """Return the note that one training per model does not show the effect of the seed."""
    return (
        "Both models were trained once, with one seed; the intervals do not cover the effect of another seed."
    )


def best_notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence that names the best of all models, also where it is not ours."""
    best = evaluation.get("best") or {}
    model, score = best.get("model"), best.get("score")
    if not model or not is_number(score):
        return
    several = any("micro_f1" in (evaluation.get(name) or {}) for name in ("baseline", "classifier"))
    kind = {"mode": best.get("mode"), **({"micro_f1": score} if several else {})}
    figure = f"micro-F1 {percent(score)}" if several else f"{percent(score)} right"
    lead = (
        f"Best of all {count(best.get('candidates'))} models and modes: {model_name(model, kind)}, {figure}"
    )
    if not is_number(best.get("difference")):
        yield f"{lead}."
        return
    low, high = interval_of(best, "ci95")
    p = best.get("mcnemar_p")
    test = f", {p_value(p)}" if is_number(p) else ""
    corrected = best.get("p_holm")
    if is_number(corrected):
        test += f" before correction, {p_value(corrected)} after (Holm, {best['candidates'] - 1} comparisons)"
        shown = "" if corrected < SIGNIFICANCE and best["difference"] else " not"
        rest = f", and the interval does not allow for the choice. That it is better is{shown} shown."
    else:
        rest = f", and {'interval and p-value do' if test else 'the interval does'} not allow for the choice."
    distance = (
        f"{points(best['difference']).lstrip('+')} points above" if best["difference"] else "as much as"
    )
    yield (
        f"{lead}, {distance} the {best.get('minus')} (95\u00a0% CI {points(low)} to {points(high)}{test}). "
        f"{_CHOSEN_HERE}{rest}"
    )


def _floor_notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    floors = evaluation.get("floors") or {}
    names = [name for name in ("baseline", "classifier") if evaluation.get(name)]
    best = max((evaluation[name].get("accuracy") or 0.0 for name in names), default=None)
    tfidf = (floors.get("tfidf") or {}).get("accuracy")
    if best is not None and is_number(tfidf) and tfidf >= best:
        yield (
            f"TF-IDF with logistic regression reaches {percent(tfidf)}, no less than the"
            f" {' and the '.join(names)}: on this data {'they do' if names[1:] else 'it does'} not earn"
            f" {'their' if names[1:] else 'its'} cost yet."
        )
    majority = (floors.get("majority") or {}).get("accuracy")
    for name in ("baseline", "classifier"):
        low, _ = interval_of(evaluation.get(name) or {}, "accuracy_ci95")
        if is_number(majority) and is_number(low) and low <= majority:
            yield (
                f"The {name} is not clearly better than always saying the most frequent label"
                f" ({percent(majority)})."
            )


def _cost_notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    costs = [
        ((evaluation.get(name) or {}).get("cost") or {}).get("seconds_per_row")
        for name in ("baseline", "classifier")
    ]
    fast, slow = costs
    mode = (evaluation.get("classifier") or {}).get("mode")
    if mode != "fast" and is_number(fast) and is_number(slow) and fast and slow:
        yield (
            f"A label with its reasoning took {decimal(slow / fast, 1)} times as long as a label alone"
            f" ({duration(slow)} against {duration(fast)} a text)."
        )


def rate_notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for every status with a share above 0."""
    for name in ("baseline", "classifier"):
        rates = (evaluation.get(name) or {}).get("rates") or {}
        if rates.get("reasoning_cut"):
            yield (
                f"{percent(rates['reasoning_cut'])} of the {name}'s reasonings reached their token limit:"
                " they were ended there, and the label was scored after the part that was written."
            )
        if rates.get("label_forced"):
            yield (
                f"{percent(rates['label_forced'])} of the texts got a reasoning of the {name} that did not come to a"
                " label: the label was scored all the same."
            )
        if rates.get("truncated"):
            yield f"{percent(rates['truncated'])} of the texts were trimmed to fit the {name}."
        if rates.get("reasoning_failed"):
            yield (
                f"{percent(rates['reasoning_failed'])} of the texts were to get a reasoning that failed: the {name}"
                " answered without it."
            )
        if rates.get("failed"):
            yield f"{percent(rates['failed'])} of the {name}'s predictions failed; they count as wrong."


def interval_of(values: Mapping[str, Any], key: str) -> tuple[float | None, float | None]:
    """Return the bounds of the interval at a key, None if it is missing."""
    interval = values.get(key)
    return (interval[0], interval[1]) if isinstance(interval, list) and len(interval) == 2 else (None, None)
