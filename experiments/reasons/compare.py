"""Which reasoner writes reasonings that people can check? The same texts, label in hand, by several reasoners.

    python experiments/reasons/compare.py seeds cues --data builtin emotion=FOLDER --output written.jsonl

Each setting of `settings.yaml` is trained once (stage 1 of whylabel, kept in `--work`), then writes one greedy
reasoning for each of `--rows` validation texts of each data set, drawn by the seed. A line of the output has setting,
data set, id, label, reasoning and the first filter's reason against it. With `--model FILE.gguf` a model as it comes,
asked in its chat form, takes the place of a setting.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from whylabel.data.load import load_dataset, load_reasoning
from whylabel.engines.base import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.host.progress import say
from whylabel.models.load import LoadedModel, load, save
from whylabel.reasonings.filters import refusal
from whylabel.recipe import DataConfig, FilterConfig, ReasonerConfig, TaskConfig
from whylabel.stages.reasoner import train_reasoner
from whylabel.text.prompts import Prompts, question_about
from whylabel.types import Example, QuestionAnswer, ReasonedExample

HERE = Path(__file__).parent
FILTERS = ["empty", "unfinished", "length", "repetition", "copy", "ungrounded", "contradiction"]
DEFAULT = "smollm2-135m-instruct"
EMOTION = TaskConfig(question="Which emotion does the writer feel?", name="Emotion")
TASKS = {
    "builtin": EMOTION,
    "emotion": EMOTION,
    "sst2": TaskConfig(question="Does the writer like it?", name="Sentiment"),
    "trec": TaskConfig(question="What does the question ask for?", name="Kind"),
    "esnli": TaskConfig(question="Does the second sentence follow from the first?", name="Answer"),
    "legal_diversity": TaskConfig(question="Is there diversity jurisdiction?", name="Answer"),
}


def main() -> None:
    """Train, write, sort, and add the lines to the output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="names in settings.yaml")
    parser.add_argument("--model", help="a model as it comes, in place of a setting")
    parser.add_argument("--data", nargs="+", default=["builtin"], help="builtin, or NAME=FOLDER")
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--base", default=DEFAULT, help="what the settings are trained from")
    parser.add_argument("--work", type=Path, default=Path("runs/reasons"))
    parser.add_argument("--output", type=Path, default=HERE / "written.jsonl")
    options = parser.parse_args()
    every = yaml.safe_load((HERE / "settings.yaml").read_text())
    for name in options.settings or [options.model]:
        loaded = load(name, device="cpu") if options.model else _trained(name, every[name], options)
        for source in options.data:
            data, _, folder = source.partition("=")
            own = name if options.model or options.base == DEFAULT else f"{name}-{Path(options.base).stem}"
            lines = list(written(loaded, own, data, folder, options, chat=bool(options.model)))
            with options.output.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            say(
                f"{Path(name).name} on {data}: {dict(Counter(line['refused'] or 'passes' for line in lines))}"
            )


def _trained(name: str, setting: dict[str, Any], options: argparse.Namespace) -> LoadedModel:
    """Return the reasoner of a setting; one that was trained before is loaded."""
    folder = options.work / f"{name}-{Path(options.base).stem}"
    if folder.exists():
        return load(str(folder), device="cpu")
    loaded = load(options.base, device="cpu", dtype="float32")
    training = {
        "num_train_epochs": setting["epochs"],
        "learning_rate": setting["learning_rate"],
        "per_device_train_batch_size": 8,
    }
    config = ReasonerConfig(training=training)
    rows = _rows(setting, options.seed)
    prompts = Prompts(loaded.tokenizer)
    checkpoints = options.work / "checkpoints" / name
    figures = train_reasoner(loaded, prompts, rows, config, seed=options.seed, checkpoints=checkpoints)
    save(loaded, folder, {"format": 1, "role": "reasoner", "prompt_style": "compact"})
    say(f"{name}: {len(rows)} rows, {figures['tokens']:,} tokens, {figures['seconds']:.0f} s")
    return loaded


def _rows(setting: dict[str, Any], seed: int) -> Sequence[QuestionAnswer]:
    if "data" in setting:
        config = ReasonerConfig(data=setting["data"], rows=setting.get("rows"), validation_rows=20)
        return load_reasoning(config, seed=seed)[0]
    train = load_dataset(DataConfig(reasoning_column="reasoning"), EMOTION, seed=seed).train
    reasonings = {row.id: row.reasoning for row in train if row.reasoning}
    if "seeds_from" in setting:
        lines = map(json.loads, Path(setting["seeds_from"]).read_text().splitlines())
        reasonings = {line["id"]: line["reasoning"] for line in lines}
    rows = [
        QuestionAnswer(row.id, question_about(row.text, EMOTION.question), row.label, reasonings[row.id])
        for row in train
        if row.id in reasonings
    ]
    return rows[: setting.get("first")]


def written(
    loaded: LoadedModel, name: str, data: str, folder: str, options: argparse.Namespace, *, chat: bool
) -> Iterator[dict[str, Any]]:
    """Yield a line for each text: what was written about it, and the first filter's reason against it."""
    task = TASKS[data]
    dataset = load_dataset(DataConfig(source=folder or "builtin:emotions"), task, seed=options.seed)
    texts: list[Example] = random.Random(options.seed).sample(list(dataset.validation), options.rows)
    style = "chat" if chat else "compact"
    prompts = Prompts(loaded.tokenizer, style, task.question, task.name, loaded.end_ids)
    sampling = Sampling(options.new_tokens, tuple(sorted(prompts.stop_ids)))
    asked = [prompts.reasoner_for_text(row.text, row.label) for row in texts]
    refuse = refusal(
        FilterConfig(
            names=FILTERS, quotation_required=True, labels=list(dataset.labels), question=task.question
        )
    )
    found = {item.index: item for item in TransformersEngine(loaded).generate(asked, sampling)}
    for place, row in enumerate(texts):
        item = found[place]
        finished = item.finish == "stop"
        reasoned = ReasonedExample(row.id, row.text, row.label, item.text, finished=finished)
        line = {"setting": Path(name).name, "data": data, "id": row.id, "label": row.label}
        yield {**line, "reasoning": item.text, "refused": refuse(reasoned)}


if __name__ == "__main__":
    main()
