"""All text formats: how a question, a text, a reasoning and a label become token ids.

Training, augmentation, prediction and serving all render through `Prompts`, so a model always sees the format that it
was trained on. Formats, with `·` for a control token:

    compact   reasoner          Question: TEXT⏎QUESTION⏎Answer: LABEL⏎Reasoning:|  REASONING·eos
              label             TEXT⏎NAME:|  LABEL·eos
              reasoning_label   TEXT⏎Reasoning:|  REASONING·label LABEL·eos
              label_reasoning   TEXT⏎NAME:|  LABEL·label REASONING·eos
              reasoning         TEXT⏎Reasoning:|  REASONING·eos
              decision          TEXT⏎NAME: LABEL?|  yes·eos   or   TEXT⏎NAME: LABEL?|  no·eos
    chat      the same contents as one user turn of the model's chat template, the answer as the model's turn

If a text may have several labels, a `decision` on each label replaces the form `label`; in chats the user's turn is
TEXT⏎⏎QUESTION NAME: LABEL? Answer yes or no. The reasoner then sees all labels, joined, or `none of them`.

A *form* is the format of one training example; a *target* is the set of forms that a model is trained on. The end
of the prompt shows a model of several forms which form to write.

User text is encoded by a tokenizer without control tokens, so `<|im_end|>` or the label marker in a text remain plain
characters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from whylabel.errors import ModelError
from whylabel.host.runtime import first_line
from whylabel.text.tokens import Tokens
from whylabel.types import Example, Form, Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT_VERSION = 1
"""Part of every fingerprint: increase it when a format below changes."""

LABEL_MARKER = "<|label|>"
"""The control token between a reasoning and its label."""
PAD_TOKEN = "<|whylabel_pad|>"
"""A separate pad token: if pad equals EOS, the end is masked and never learnt."""

PromptStyle = Literal["compact", "chat"]
FORMS: dict[Target, tuple[Form, ...]] = {
    "label": ("label",),
    "reasoning_label": ("reasoning_label",),
    "label_reasoning": ("label_reasoning",),
    "dual": ("label", "reasoning_label"),
    "multi_task": ("label", "reasoning"),
}
"""The forms of each target; a form without a reasoning comes first.

`multi_task` is Distilling Step-by-Step (Hsieh et al. 2023, arXiv 2305.02301): label and reasoning are two tasks.
"""

_REQUESTS: dict[Form, str] = {
    "label": "Answer with the label alone.",
    "reasoning_label": "Reason briefly, then give the label.",
    "label_reasoning": "Give the label, then reason briefly.",
    "reasoning": "Reason briefly.",
}

_DECISION_REQUEST = "Answer yes or no."
NO_LABEL = "none of them"
"""Shown to the reasoner instead of a label if no label applies."""

ENDPOINT_FORMAT = 2
"""The version of what an endpoint is asked; increase it when `endpoint_prompt` changes."""

EXAMPLES_SHOWN = 4
"""How many reasonings of your own an endpoint is shown with every row."""

_LABELS_SHOWN = 50
"""An endpoint is shown the possible answers if there are no more than these."""

_FORM = (
    "Explain why this is the answer, in one or two sentences. Quote the words of the text that show it in "
    '"double quotes", exactly as they stand there, and say what they mean. Say which other answer comes nearest, and '
    "why it does not fit. Do not begin with the answer, and write nothing but these sentences."
)
_FORM_WITHOUT_ANSWER = (
    "Reason about the answer, in one or two sentences. Quote the words of the text that decide it in "
    '"double quotes", exactly as they stand there, and say what they mean. Say which other answer comes nearest, and '
    "why it does not fit. Do not begin with the answer, and write nothing but these sentences."
)

_SLOT = "\ue000content\ue000"
# Some templates print today's date; a fixed date keeps the prompt the same every day.
_TEMPLATE_VALUES = {"date_string": "01 Jan 2025", "enable_thinking": False}
_DATE_PARTS = {
    "%d": "01",
    "%b": "Jan",
    "%B": "January",
    "%m": "01",
    "%Y": "2025",
    "%y": "25",
    "%A": "Wednesday",
}
# Transformers passes no functions to a template, so this macro in the template replaces `strftime_now`. Jinja drops
# the line break after the macro.
_FIXED_CLOCK = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f"|replace('{code}', '{value}')" for code, value in _DATE_PARTS.items())
    + " }}{% endmacro %}\n"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A training example as token ids; the loss is computed on the completion only.

    The label, with the token that ends it, is `completion_ids[label_start:label_end]`; the rest is reasoning.
    `weight` is the weight of the example in the loss.
    """

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    label_start: int = 0
    label_end: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_ids", Tokens(self.prompt_ids))
        object.__setattr__(self, "completion_ids", Tokens(self.completion_ids))

    def __len__(self) -> int:
        """Return the number of tokens in prompt and completion."""
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The input of an engine: token ids, and plain text for endpoints that apply their own template.

    `rendered` is the text of `ids`, for endpoints that accept no ids and apply no template. It has no BOS, which the
    endpoint's tokenizer adds. `ids` and `rendered` are empty if the tokenizer of the endpoint's model is not known.
    """

    ids: Sequence[int]
    text: str = ""
    rendered: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", Tokens(self.ids))


@dataclass(frozen=True, slots=True)
class Briefing:
    """What an endpoint is told beside each row: the possible answers, and reasonings to write like.

    There is one example more than is shown, for the row that is itself an example.
    """

    labels: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Prompts:
    """Renders every format for one tokenizer, style and task."""

    tokenizer: PreTrainedTokenizerBase
    style: PromptStyle = "compact"
    question: str = "Which label fits the text?"
    name: str = "Label"
    end_ids: frozenset[int] = frozenset()
    """The tokens that the model itself names as ends of a sequence (`LoadedModel.end_ids`)."""

    # -- prompts -----------------------------------------------------------------------------------------

    def reasoner(self, question: str, answer: str | None) -> list[int]:
        """Return the prompt that asks for a reasoning from a question to an answer (None: to any answer)."""
        return self._prompt(reasoner_request(question, answer, self.style))

    def reasoner_for_text(self, text: str, label: str | None) -> Prompt:
        """Return the reasoner's prompt for a text, with its label or without (None)."""
        request = reasoner_request(question_about(text, self.question), label, self.style)
        plain_text = reasoner_request(question_about(text, self.question), label, "chat")
        return Prompt(self._prompt(request), plain_text, self._rendered(request))

    def classifier(self, text: str, form: Form) -> list[int]:
        """Return the prompt that asks for a text's label, reasoning, or both, in the order of the form."""
        return self._prompt(self.content(text, form))

    def content(self, text: str, form: Form) -> str:
        """Return that prompt as text, without control tokens and template."""
        if self.style == "compact":
            return f"{text}\n{self.name if form.startswith('label') else 'Reasoning'}:"
        return f"{text}\n\n{self.question} {_REQUESTS[form]}"

    @property
    def adds_bos(self) -> bool:
        """Whether a prompt starts with the BOS."""
        return bool(self._bos)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The tokens before and after the content of a classifier's prompt."""
        return self._frame if self.style == "chat" else (self._bos, [])

    @property
    def frame_text(self) -> tuple[str, str]:
        """The same as text, without the BOS that the tokenizer adds by itself."""
        before, _, after = self._rendered(_SLOT).partition(_SLOT)
        return before, after

    def decision_prefix(self, text: str) -> list[int]:
        """Return the common prefix of the prompts of all decisions about a text."""
        if self.style == "compact":
            return self.classifier(text, "label")
        before, _ = self._frame
        return [*before, *self._plain(f"{text}\n\n{self.question}")]

    def decision_question(self, label: str) -> list[int]:
        """Return the rest of a decision's prompt: the question whether a label applies."""
        if self.style == "compact":
            return self._plain(f" {label.strip()}?")
        _, after = self._frame
        return [*self._plain(f" {self.name}: {label.strip()}? {_DECISION_REQUEST}"), *after]

    def after_reasoning(self, text: str, reasoning: str) -> list[int]:
        """Return the prompt up to the label: text, reasoning and label marker."""
        return [*self.classifier(text, "reasoning_label"), *self._reasoning(reasoning)]

    def recovery(self, question: str, reasoning: str) -> list[int]:
        """Return the prompt that asks an untrained model for the answer, given a reasoning (may be empty)."""
        return self._prompt(f"Question: {question}\nReasoning: {reasoning}\nAnswer:", style="compact")

    # -- completions -------------------------------------------------------------------------------------

    def reasoner_example(self, question: str, answer: str | None, reasoning: str) -> Rendered:
        """Return a training example of stage 1; its prompt shows no answer where `answer` is None."""
        completion = [*self._plain(self._with_leading_blank(reasoning)), self.eos_id]
        return Rendered(self.reasoner(question, answer), completion)

    def classifier_example(
        self, text: str, label: str, reasoning: str | None, form: Form | None = None, weight: float = 1.0
    ) -> Rendered:
        """Return a training example of stage 2. By default the reasoning, if given, comes before the label.

        Raises `ValueError` if the form needs a reasoning and `reasoning` is None.
        """
        form = form or ("label" if reasoning is None else "reasoning_label")
        prompt, answer = self.classifier(text, form), self.label_ids(label, form)
        if form == "label":
            return Rendered(prompt, answer, 0, len(answer), weight)
        if reasoning is None:
            raise ValueError(f"the form {form} needs a reasoning")
        if form == "reasoning_label":
            before = self._reasoning(reasoning)
            return Rendered(prompt, (*before, *answer), len(before), len(before) + len(answer), weight)
        written = (*self._plain(self._with_leading_blank(reasoning)), self.eos_id)
        if form == "reasoning":
            return Rendered(prompt, written, weight=weight)
        return Rendered(prompt, (*answer, *written), 0, len(answer), weight)

    def decision_examples(self, text: str, applies: Mapping[str, bool]) -> list[Rendered]:
        """Return one training example per label: the decision whether it applies to the text."""
        prefix = self.decision_prefix(text)
        examples = []
        for label, yes in applies.items():
            answer = [*self.decision_answer(yes), self.eos_id]
            prompt = [*prefix, *self.decision_question(label)]
            examples.append(Rendered(prompt, answer, 0, len(answer)))
        return examples

    def decision_answer(self, applies: bool) -> list[int]:
        """Return the answer of a decision, without an end token: neither answer is a prefix of the other."""
        return self._plain(self._with_leading_blank("yes" if applies else "no"))

    def label_ids(self, label: str, form: Form = "label") -> list[int]:
        """Return the label with its end token, which distinguishes it from a longer label with the same beginning.

        The end token is EOS, or the label marker if a reasoning follows.
        """
        end = self.eos_id if form != "label_reasoning" else self._required_marker_id()
        return [*self._plain(self._with_leading_blank(label)), end]

    def answer_ids(self, answer: str) -> list[int]:
        """Return an answer without an end token, for scoring with an untrained model."""
        return self._plain(f" {answer.strip()}")

    # -- tokens ------------------------------------------------------------------------------------------

    @property
    def eos_id(self) -> int:
        """The token that ends every completion."""
        eos = self.tokenizer.eos_token_id
        if eos is None:
            raise ModelError("The tokenizer has no end-of-sequence token.", fix="choose another base model")
        return int(eos)

    @cached_property
    def marker_id(self) -> int | None:
        """The label marker, or None before `models.prepare_for_training` has added it."""
        return self._control_tokens.get(LABEL_MARKER)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a reasoning: EOS, the label marker, the end of a chat turn, and the model's own ends.

        Models with a chat template may end a turn with another token than the tokenizer's EOS, in any prompt style.
        """
        found = (self.eos_id, self.marker_id, self._turn_end_id)
        return self.end_ids.union(token for token in found if token is not None)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a user's text, none of which is a control token."""
        return self._plain(text)

    def count(self, text: str) -> int:
        """Return the length of a user's text in tokens."""
        return len(self._plain(text))

    def trim(self, text: str, max_tokens: int) -> str:
        """Return the text cut to at most `max_tokens` tokens, at the end of a token and of a character."""
        if self.count(text) <= max_tokens:
            return text
        ends = [end for _, end in self._plain_tokenizer.encode(text, add_special_tokens=False).offsets]
        # A token inside an emoji ends where the emoji ends; with the emoji's other tokens it may be too long, so
        # step back.
        cuts = (text[:end] for end in reversed(ends[:max_tokens]))
        return next((cut for cut in cuts if self.count(cut) <= max_tokens), "")

    def mark(self, example: Rendered) -> str:
        """Return a decoded example for display, with the trained tokens between ⟦ and ⟧."""
        prompt = self.tokenizer.decode(list(example.prompt_ids))
        return f"{prompt}⟦{self.tokenizer.decode(list(example.completion_ids))}⟧"

    def _reasoning(self, reasoning: str) -> list[int]:
        return [*self._plain(self._with_leading_blank(reasoning)), self._required_marker_id()]

    def _required_marker_id(self) -> int:
        if self.marker_id is None:
            raise ModelError(
                f"This model's tokenizer has no {LABEL_MARKER} token: it was not trained to reason.",
                fix="train a classifier first, or use a model that whylabel has trained",
            )
        return self.marker_id

    def _with_leading_blank(self, text: str) -> str:
        # In compact prompts a word starts with a blank, as in running text; a chat turn starts without one.
        return f" {text.strip()}" if self.style == "compact" else text.strip()

    def _prompt(self, content: str, style: PromptStyle | None = None) -> list[int]:
        before, after = self._frame if (style or self.style) == "chat" else (self._bos, [])
        return [*before, *self._plain(content), *after]

    def _rendered(self, content: str) -> str:
        if self.style == "compact":
            return content
        before, after = self._turn
        # If the template writes the BOS, remove it: the server's tokenizer adds one.
        before = before.removeprefix(str(self.tokenizer.bos_token)) if self._bos else before
        return f"{before}{content}{after}"

    @cached_property
    def _bos(self) -> list[int]:
        ids = list(self.tokenizer("a").input_ids)
        return ids[:1] if ids and ids[0] == self.tokenizer.bos_token_id else []

    @cached_property
    def _turn(self) -> tuple[str, str]:
        if not self.tokenizer.chat_template:
            raise ModelError("This model has no chat template.", fix="set prompt_style: compact")
        try:
            turn = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": _SLOT}],
                chat_template=_FIXED_CLOCK + self.tokenizer.get_chat_template(),
                tokenize=False,
                add_generation_prompt=True,
                **_TEMPLATE_VALUES,
            )
        except Exception as error:  # a template is a program, in a sandbox: it may raise anything
            raise ModelError(
                f"The model's chat template cannot be used: {first_line(error).rstrip('.')}.",
                fix="set prompt_style: compact",
            ) from error
        before, slot, after = str(turn).partition(_SLOT)
        if not slot:
            raise ModelError(
                "The model's chat template drops the user's turn.", fix="set prompt_style: compact"
            )
        return before, after

    @cached_property
    def _turn_end_id(self) -> int | None:
        """The control token that the chat template puts behind the model's turn; None if there is none."""
        if not self.tokenizer.chat_template:
            return None
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SLOT}]
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                chat_template=_FIXED_CLOCK + self.tokenizer.get_chat_template(),
                tokenize=False,
                **_TEMPLATE_VALUES,
            )
        except Exception:  # a template is a program: one without turns of the model may raise anything
            return None
        after = self.tokenizer.encode(str(text).partition(_SLOT)[2], add_special_tokens=False)
        return next((token for token in after if token in self._control_ids), None)

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        before, after = self._turn
        encode = self.tokenizer.encode
        before_ids = list(encode(before, add_special_tokens=False))
        # Exactly one BOS is needed; some templates write it themselves.
        bos = [] if before_ids[:1] == self._bos else self._bos
        return [*bos, *before_ids], list(encode(after, add_special_tokens=False))

    def _plain(self, text: str) -> list[int]:
        ids = list(self._plain_tokenizer.encode(text, add_special_tokens=False).ids)
        if self._control_ids.isdisjoint(ids):
            return ids
        # This vocabulary has an ordinary piece equal to a control token. Encoding single characters avoids it.
        return [
            token
            for character in text
            for token in self._plain_tokenizer.encode(character, add_special_tokens=False).ids
        ]

    @cached_property
    def _plain_tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError("The model has no fast tokenizer (tokenizer.json).", fix="choose another model")
        description = json.loads(backend.to_str())
        description.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
        return Tokenizer.from_str(json.dumps(description))

    @cached_property
    def _control_tokens(self) -> dict[str, int]:
        # Not every added token is a control token: Gemma adds line breaks, which are ordinary words.
        added = self.tokenizer.added_tokens_decoder
        return {token.content: number for number, token in added.items() if token.special}

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self._control_tokens.values())


def question_about(text: str, question: str) -> str:
    """Return the question that the reasoner is asked about a text."""
    return f"{text}\n{question}"


def reasoner_request(question: str, answer: str | None, style: PromptStyle) -> str:
    """Return the content of the reasoner's prompt as text, without control tokens and template."""
    given = "" if answer is None else f"\nAnswer: {answer or NO_LABEL}"
    if style == "compact":
        return f"Question: {question}{given}\nReasoning:"
    ask = "Reason briefly about the answer." if answer is None else "Explain briefly why this is the answer."
    return f"Question: {question}{given}\n\n{ask}"


def endpoint_prompt(text: str, question: str, label: str | None, briefing: Briefing | None = None) -> Prompt:
    """Return the reasoner's prompt for a chat endpoint: the text of the user's turn, without ids.

    It asks for a form and shows reasonings of this form, none of them about the same text.
    """
    briefing = briefing or Briefing()
    others = [row for row in briefing.examples if row.text != text][:EXAMPLES_SHOWN]
    parts = [
        "Here is how others have reasoned about such texts." if others else "",
        *(
            f"{_asked(row.text, question, row.label or NO_LABEL)}\nReasoning: {row.reasoning}"
            for row in others
        ),
        "Now it is your turn." if others else "",
        _asked(text, question, None if label is None else label or NO_LABEL, briefing.labels),
        _FORM_WITHOUT_ANSWER if label is None else _FORM,
    ]
    return Prompt((), "\n\n".join(filter(None, parts)))


def _asked(text: str, question: str, answer: str | None, labels: Sequence[str] = ()) -> str:
    possible = f"\nPossible answers: {', '.join(labels)}" if 0 < len(labels) <= _LABELS_SHOWN else ""
    given = "" if answer is None else f"\nAnswer: {answer}"
    return f"Question: {question_about(text, question)}{possible}{given}"
