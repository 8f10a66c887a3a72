import copy

import pytest

from whylabel.data.builtin import read_builtin
from whylabel.errors import ModelError
from whylabel.text.prompts import LABEL_MARKER, PAD_TOKEN, Briefing, Prompts, Rendered, endpoint_prompt
from whylabel.types import Example

STYLES = ("compact", "chat")
REASONING = "He forgot, which hurts; 'fine' is irony 🤷🏽‍♀️."
TEXTS = (
    "My brother forgot my birthday.",
    "",
    " \n\t ",
    "Émile said 🤷🏽‍♀️: naïve 日本語\r\nsecond line\n\n\nReasoning: I\nEmotion: joy\nLabel:",
    "ends in a blank ",
    "{{ messages }} {% raw %} \ue000content\ue000 \ue000",
    "NUL \x00 and bell \x07",
)
CONTROL = ("<|im_end|>", "<|im_start|>", "<|endoftext|>", LABEL_MARKER, PAD_TOKEN)


def extend(tokenizer):
    """Return a copy with the tokens that `models.prepare_for_training` adds."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    tokenizer.add_tokens([LABEL_MARKER], special_tokens=True)
    return tokenizer


@pytest.fixture(scope="module")
def trained(tokenizer):
    return extend(tokenizer)


@pytest.fixture(params=STYLES)
def prompts(request, trained):
    return Prompts(trained, request.param, "Which emotion does the writer feel?", "Emotion")


@pytest.fixture(scope="module", params=["template writes BOS", "template leaves BOS out"])
def with_bos(request, tokenizer):
    """A tokenizer like Llama 3's: its post-processor puts a BOS first."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"bos_token": "<|begin_of_text|>"})
    bos = ("<|begin_of_text|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]} $B", special_tokens=[bos]
    )
    assert tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    if request.param == "template writes BOS":
        tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    return extend(tokenizer)


def everything(prompts, text):
    """Return the ids of every kind of prompt and example, with the text in each slot."""
    return [
        prompts.reasoner(text, "joy"),
        prompts.reasoner("Why?", text),
        prompts.reasoner_for_text(text, "joy").ids,
        prompts.classifier(text, "label"),
        prompts.classifier(text, "reasoning_label"),
        prompts.recovery(text, REASONING),
        prompts.recovery("Why?", text),
        prompts.after_reasoning(text, REASONING),
        *(
            [*example.prompt_ids, *example.completion_ids]
            for example in (
                prompts.reasoner_example(text, "joy", REASONING),
                prompts.classifier_example(text, "joy", None),
                prompts.classifier_example(text, "joy", REASONING),
                prompts.classifier_example("Why?", "joy", text),
            )
        ),
    ]


# -- formats -----------------------------------------------------------------------------------------------


def test_the_compact_formats_are_those_of_the_doc_string(trained):
    prompts = Prompts(trained, "compact", "Which emotion?", "Emotion")
    assert prompts.mark(prompts.reasoner_example("Q?", "A", " R ")) == (
        "Question: Q?\nAnswer: A\nReasoning:⟦ R<|im_end|>⟧"
    )
    assert prompts.mark(prompts.classifier_example("T", "joy", None)) == "T\nEmotion:⟦ joy<|im_end|>⟧"
    assert prompts.mark(prompts.classifier_example("T", "joy", "R")) == (
        "T\nReasoning:⟦ R<|label|> joy<|im_end|>⟧"
    )
    assert trained.decode(prompts.reasoner_for_text("T", "joy").ids) == (
        "Question: T\nWhich emotion?\nAnswer: joy\nReasoning:"
    )


def test_the_chat_formats_are_the_models_own_template(trained):
    prompts = Prompts(trained, "chat", "Which emotion?", "Emotion")
    for ids in (prompts.classifier("T", "label"), prompts.reasoner("T", "joy")):
        content = trained.decode(ids).removeprefix("<|im_start|>user\n")
        content = content.removesuffix("<|im_end|>\n<|im_start|>assistant\n")
        expected = trained.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        assert trained.decode(ids) == expected
    assert prompts.mark(prompts.classifier_example("T", "joy", "R")).endswith("⟦R<|label|>joy<|im_end|>⟧")
    assert "Which emotion?" in trained.decode(prompts.classifier("T", "label"))


@pytest.mark.parametrize("text", TEXTS)
def test_text_stands_in_the_prompt_as_it_is(prompts, text):
    for target in ("label", "reasoning_label"):
        assert text in prompts.tokenizer.decode(prompts.classifier(text, target))


@pytest.mark.parametrize("text", TEXTS)
def test_training_and_prediction_see_the_same_prompt(prompts, text):
    direct = prompts.classifier_example(text, "joy", None)
    assert list(direct.prompt_ids) == prompts.classifier(text, "label")
    assert list(direct.completion_ids) == prompts.label_ids("joy")

    reasoned = prompts.classifier_example(text, "joy", REASONING)
    assert list(reasoned.prompt_ids) == prompts.classifier(text, "reasoning_label")
    until_marker = reasoned.completion_ids[: reasoned.completion_ids.index(prompts.marker_id) + 1]
    assert prompts.after_reasoning(text, REASONING) == [*reasoned.prompt_ids, *until_marker]
    assert list(reasoned.completion_ids) == [*until_marker, *prompts.label_ids("joy")]

    stage_1 = prompts.reasoner_example(text, "joy", REASONING)
    assert list(stage_1.prompt_ids) == prompts.reasoner(text, "joy")


def test_every_completion_ends_in_one_eos(prompts):
    for example in (
        prompts.reasoner_example("Q", "A", REASONING),
        prompts.classifier_example("T", "joy", None),
        prompts.classifier_example("T", "joy", REASONING),
    ):
        assert example.completion_ids[-1] == prompts.eos_id
        assert example.completion_ids.count(prompts.eos_id) == 1


# -- BOS and control tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", ["A text.", "", "<|begin_of_text|> and <|im_start|>"])
def test_exactly_one_bos_where_the_tokenizer_adds_one(with_bos, style, text):
    for ids in everything(Prompts(with_bos, style), text):
        assert ids[0] == with_bos.bos_token_id
        assert ids.count(with_bos.bos_token_id) == 1


@pytest.mark.parametrize("style", STYLES)
def test_the_rendered_text_gives_the_ids_back(trained, with_bos, style):
    for tokenizer in (trained, with_bos):
        prompt = Prompts(tokenizer, style).reasoner_for_text("It rained.", "joy")
        assert tuple(tokenizer(prompt.rendered).input_ids) == prompt.ids


def test_no_bos_where_the_tokenizer_adds_none(trained):
    for ids in everything(Prompts(trained), "A text."):
        assert trained.bos_token_id not in ids


@pytest.mark.parametrize("control", CONTROL)
def test_control_tokens_in_a_text_stay_text(prompts, control):
    added = set(prompts.tokenizer.get_added_vocab().values())
    harmless = everything(prompts, "plain")
    for ids, plain in zip(everything(prompts, f"a{control}{control} b {control}"), harmless, strict=True):
        assert [token for token in ids if token in added] == [token for token in plain if token in added]
        assert control in prompts.tokenizer.decode(ids)
    label = prompts.label_ids(control)
    assert label[-1] == prompts.eos_id and added.isdisjoint(label[:-1])


def test_a_vocabulary_that_holds_a_control_token_as_an_ordinary_piece():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *"</s>ab ", "a"]
    vocab = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("</s>|."), "isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    prompts = Prompts(tokenizer)
    assert prompts.label_ids("a</s>b").count(prompts.eos_id) == 1
    assert prompts.count("a</s>b") == 6
    assert prompts.count(prompts.trim("a</s>b</s>", 5)) <= 5


def test_an_added_token_that_is_no_control_token_is_a_word_like_others(tokenizer):
    from tokenizers import AddedToken

    # As Gemma has line breaks: added, and in the vocabulary all the same.
    prompts = Prompts(extend(tokenizer))
    expected = prompts.classifier("the two", "label")
    word = prompts.tokenizer.convert_ids_to_tokens(expected[0])
    prompts.tokenizer.add_tokens([AddedToken(word, special=False)])
    assert prompts.tokenizer.get_added_vocab()[word] == expected[0]
    assert Prompts(prompts.tokenizer).classifier("the two", "label") == expected


# -- labels ------------------------------------------------------------------------------------------------


def test_a_label_that_starts_or_contains_another_is_told_apart_by_its_end(prompts):
    labels = ["joy", "joyful", "joy of others", "overjoyed", "Joy", "7", "77", "a", "aa", "no", "no joy"]
    ids = [tuple(prompts.label_ids(label)) for label in labels]
    assert len(set(ids)) == len(labels)
    for first in ids:
        assert first[-1] == prompts.eos_id
        assert not any(second[: len(first)] == first for second in ids if second != first)


def test_outer_blanks_of_a_label_do_not_count(prompts):
    assert prompts.label_ids(" joy\n") == prompts.label_ids("joy")


# -- reasonings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reasoning",
    [REASONING, "a", "two\n\nparagraphs", "quotes <|im_end|> and <|label|> as words", "日本語 テキスト é"],
)
def test_a_reasoning_comes_back_from_every_completion(prompts, reasoning):
    for example in (
        prompts.reasoner_example("Q", "A", reasoning),
        prompts.classifier_example("T", "joy", reasoning),
    ):
        end = next(place for place, token in enumerate(example.completion_ids) if token in prompts.stop_ids)
        assert prompts.tokenizer.decode(example.completion_ids[:end]).strip() == reasoning


@pytest.mark.parametrize("style", STYLES)
def test_a_reasoning_ends_at_every_end_that_the_model_knows(tokenizer, style):
    tokenizer = copy.deepcopy(tokenizer)
    assert Prompts(tokenizer, style).stop_ids == {tokenizer.eos_token_id}
    # As the models of Llama 3 came: EOS ends a document, and the template ends a turn with another token.
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|eot_id|>", "<|next|>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", " <|eot_id|>")
    turn = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert Prompts(tokenizer, style).stop_ids == {tokenizer.eos_token_id, turn}
    assert Prompts(tokenizer, style, end_ids=frozenset([7])).stop_ids == {tokenizer.eos_token_id, turn, 7}


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}",
        "{{ messages[0]['content'] }}<|im_start|>",
        "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}{{ messages[0]['content'] }}",
        "{{ messages",
    ],
    ids=["none", "words alone", "no turn of the model", "refuses a second turn", "broken"],
)
def test_a_template_that_ends_no_turn_adds_no_end(tokenizer, template):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template
    assert Prompts(tokenizer).stop_ids == {tokenizer.eos_token_id}


def test_a_tokenizer_without_marker_cannot_write_reasonings(tokenizer):
    prompts = Prompts(tokenizer)
    assert prompts.marker_id is None and prompts.stop_ids == {prompts.eos_id}
    assert prompts.classifier_example("T", "joy", None).completion_ids
    with pytest.raises(ModelError, match="not trained to reason"):
        prompts.after_reasoning("T", "R")


# -- chat templates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "Today Date: {{ strftime_now('%d %b %Y') }}\n",
        "{%- if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif -%}"
        "Today Date: {{ date_string }}\n",
        "{%- macro head() %}Today Date: {{ strftime_now('%d %b %Y') }}{% endmacro -%}{{ head() }}\n",
    ],
)
def test_a_template_with_todays_date_is_the_same_tomorrow(tokenizer, template):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template + tokenizer.chat_template
    prompt = tokenizer.decode(Prompts(tokenizer, "chat").classifier("T", "label"))
    assert prompt.startswith("Today Date: 01 Jan 2025")


@pytest.mark.parametrize(
    "start", ["", "\n", "\n\n", "  ", "  {% if true %}x{% endif %}", "\n {%- set a = 1 %}\n"]
)
def test_a_template_without_date_is_rendered_as_transformers_does(tokenizer, start):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = start + tokenizer.chat_template
    prompts = Prompts(tokenizer, "chat")
    content = "T\n\nWhich label fits the text? Answer with the label alone."
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    assert tokenizer.decode(prompts.classifier("T", "label")) == expected


@pytest.mark.parametrize(
    ("template", "message"), [(None, "no chat template"), ("Hello", "drops the user's turn")]
)
def test_a_template_that_cannot_be_used(tokenizer, template, message):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=message) as caught:
        Prompts(tokenizer, "chat").classifier("T", "label")
    assert "compact" in caught.value.fix
    # Another style than chat does not need it.
    assert Prompts(tokenizer, "compact").classifier("T", "label")


def test_a_tokenizer_without_eos(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-sequence"):
        Prompts(tokenizer).label_ids("joy")


# -- counting and trimming ---------------------------------------------------------------------------------


def test_count_is_without_control_tokens(prompts):
    assert prompts.count("") == 0
    assert prompts.count("aa aa") == len(prompts.tokenizer("aa aa").input_ids)
    assert prompts.count("<|im_end|>") > 1


@pytest.mark.parametrize(
    "text", ["My brother forgot it.", "🤷🏽‍♀️🤷🏽‍♀️", "naïve 日本語 テキスト 😮 é", "a <|im_end|> b", "  a  "]
)
def test_trim_keeps_at_most_so_many_tokens(prompts, text):
    for limit in range(prompts.count(text) + 3):
        trimmed = prompts.trim(text, limit)
        assert text.startswith(trimmed)
        assert prompts.count(trimmed) <= limit
        trimmed.encode("utf-8")
    assert prompts.trim(text, prompts.count(text)) == text


def test_trim_of_plain_text_uses_the_whole_budget(prompts):
    text = "My brother forgot my birthday again."
    for limit in range(1, prompts.count(text)):
        assert prompts.count(prompts.trim(text, limit)) == limit


def test_trim_of_real_texts(prompts):
    for text in read_builtin("builtin:emotions")["test"].columns["text"][:40]:
        assert prompts.count(prompts.trim(text, 12)) <= 12


def test_mark_shows_what_is_trained(prompts):
    marked = prompts.mark(Rendered(tuple(prompts.answer_ids("a")), tuple(prompts.label_ids("joy"))))
    assert marked == f" a⟦{'' if prompts.style == 'chat' else ' '}joy<|im_end|>⟧"


def test_decisions_are_written_as_the_doc_string_says(trained):
    prompts = Prompts(trained, "compact", "Which emotions?", "Emotion")
    assert [prompts.mark(row) for row in prompts.decision_examples("T", {"joy": True, " sad ": False})] == [
        "T\nEmotion: joy?⟦ yes<|im_end|>⟧",
        "T\nEmotion: sad?⟦ no<|im_end|>⟧",
    ]
    chat = Prompts(trained, "chat", "Which emotions?", "Emotion")
    content = "T\n\nWhich emotions? Emotion: joy? Answer yes or no."
    turn = trained.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    (example,) = chat.decision_examples("T", {"joy": False})
    assert chat.mark(example) == f"{turn}⟦no<|im_end|>⟧"


def test_a_decision_is_what_all_share_and_its_own_rest(prompts):
    (example,) = prompts.decision_examples("A text <|im_end|>", {"joy": True})
    assert list(example.prompt_ids) == [
        *prompts.decision_prefix("A text <|im_end|>"),
        *prompts.decision_question("joy"),
    ]
    assert list(example.completion_ids) == [*prompts.decision_answer(True), prompts.eos_id]
    assert prompts.decision_answer(True) != prompts.decision_answer(False)
    assert (example.label_start, example.label_end) == (0, len(example.completion_ids))


def test_the_reasoner_is_told_where_no_label_applies(prompts, trained):
    assert "\nAnswer: none of them\n" in trained.decode(prompts.reasoner_for_text("T", "").ids)
    assert "Answer:" not in trained.decode(prompts.reasoner_for_text("T", None).ids)


TOLD = Briefing(
    ("joy", "fear"), tuple(Example(str(n), f"text {n}", "joy", f"It says {n}.") for n in range(5))
)


def test_an_endpoint_is_asked_for_the_form():
    asked = endpoint_prompt("What a day!", "Which mood?", "joy").text
    assert asked.startswith(
        "Question: What a day!\nWhich mood?\nAnswer: joy\n\nExplain why this is the answer"
    )
    for wanted in (
        "one or two sentences",
        '"double quotes"',
        "comes nearest",
        "Do not begin with the answer",
    ):
        assert wanted in asked
    assert "Reasoning:" not in asked and "Possible answers" not in asked


def test_an_endpoint_is_shown_four_reasonings_and_the_possible_answers():
    asked = endpoint_prompt("What a day!", "Which mood?", "joy", TOLD).text
    for n in range(4):
        assert f"Question: text {n}\nWhich mood?\nAnswer: joy\nReasoning: It says {n}.\n\n" in asked
    assert "It says 4." not in asked
    assert asked.count("Possible answers: joy, fear\n") == 1
    assert asked.index("It says 3.") < asked.index("What a day!")


def test_an_endpoint_is_never_shown_a_reasoning_about_the_text_itself():
    asked = endpoint_prompt("text 2", "Which mood?", "joy", TOLD).text
    assert asked.count("text 2") == 1 and "It says 2." not in asked and "It says 4." in asked


def test_an_endpoint_that_sees_no_answer_is_not_told_it():
    asked = endpoint_prompt("What a day!", "Which mood?", None, TOLD).text
    assert asked.endswith(endpoint_prompt("What a day!", "Which mood?", None).text.split("\n\n")[-1])
    assert "Answer:" not in asked[asked.index("What a day!") :]
    assert "Do not begin with the answer" in asked


def test_an_endpoint_is_told_where_no_label_applies_and_is_not_told_hundreds_of_labels():
    told = Briefing(tuple(map(str, range(51))), (Example("1", "t", "", "Nothing fits."),))
    asked = endpoint_prompt("What a day!", "Which mood?", "", told).text
    assert asked.count("Answer: none of them") == 2 and "Possible answers" not in asked


def test_a_reasoner_of_ours_is_asked_by_chat_as_it_was_trained(tokenizer):
    prompts = Prompts(tokenizer, question="Which mood?")
    assert prompts.reasoner_for_text("A day.", "joy").text == (
        "Question: A day.\nWhich mood?\nAnswer: joy\n\nExplain briefly why this is the answer."
    )


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no') }}", "{% for %}", "{{ ''.__class__.__mro__ }}"]
)
def test_a_chat_template_that_cannot_be_used_is_an_error_of_the_model(tokenizer, template):
    spoilt = copy.deepcopy(tokenizer)
    spoilt.chat_template = template
    with pytest.raises(ModelError, match="chat template"):
        Prompts(spoilt, "chat").classifier("a text", "label")
