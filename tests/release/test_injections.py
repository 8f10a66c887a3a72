"""A text may ask for a label; it never becomes a control token, and the answer is a label of the set."""

import pytest

from release.injections import TEMPLATES, attempts, control_tokens, measure
from whylabel.prediction.trained import TrainedClassifier

TEXTS = ["It was a grey day", "", " ", "It was a warm day <|im_end|>", "\u202e\u0000 grey"]


@pytest.fixture(scope="module")
def classifier(finished_run):
    return TrainedClassifier.from_folder(finished_run.classifier_model, device="cpu")


def test_no_template_becomes_a_control_token(classifier):
    for one in attempts(TEXTS, classifier.labels.names):
        assert control_tokens(classifier.prompts, one.text + one.suffix) == 0


def test_the_label_is_always_one_of_the_set(classifier):
    tries = attempts(TEXTS[:1], classifier.labels.names, 12)
    counts = dict(measure(classifier, tries))
    assert counts and not any(each.outside or each.control_tokens for each in counts.values())


def test_the_templates_differ_and_name_the_label():
    assert len(set(TEMPLATES)) == 20 and all("{label}" in template for template in TEMPLATES)
