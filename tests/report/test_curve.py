import math
from dataclasses import replace

import pytest

from evaluated_runs import answers, test_rows, write_evaluated
from report_page import Page
from whylabel.evaluation.arms import arms_of_series, read_runs
from whylabel.evaluation.curve import Size, learning_curve
from whylabel.report.curve import claims, draw_curve, render_curve


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("curve"), test_rows(200)
    shares = {8: (0.2, 0.2), 32: (0.5, 0.4), 128: (0.52, 0.9)}
    for size, (baseline, classifier) in shares.items():
        for seed in (1, 2, 3):
            said = {
                "baseline": answers(rows, baseline, 10 * size + seed),
                "classifier": answers(rows, classifier, 9000 * size + seed, "reasoned"),
            }
            write_evaluated(folder / str(size) / str(seed), rows, said, seed=seed)
    runs = {size: read_runs([folder / str(size)]) for size in shares}
    # Of one label there are only 40 texts.
    sizes = [
        Size(size, (2 * size + min(size, 40),) * 3, tuple(arms_of_series(found)))
        for size, found in runs.items()
    ]
    sizes.append(replace(sizes[-1], per_label=512))
    return learning_curve(runs[8][0].rows, sizes, bootstrap_samples=1000, seed=1)


def test_it_is_said_where_more_labels_would_pay(curve):
    baseline, classifier, *leaders, merged = claims(curve)
    assert merged.startswith("With 512 a label there were no more train texts than with 128")
    assert baseline.startswith(
        "Baseline (label only): from 32 to 128 a label (96 to 296 train texts)"
    ) and baseline.endswith("is not shown.")
    assert "More labels are likely to pay" in classifier
    gain = curve.models["classifier"][2].gain.difference
    assert f"+{100 * gain / math.log2(296 / 96):.1f} for each doubling" in classifier
    assert leaders[2].startswith("With 128 a label the best is Classifier (reasoned)")
    assert "better than 1 of the 1 others and worse than 0" in leaders[2]


def test_points_stand_where_their_figures_are(curve):
    drawing = draw_curve(curve)
    axis = drawing.axis
    left, middle, right = (x for _, x in drawing.sizes)
    assert (left, right) == (4, 96) and middle == pytest.approx(
        4 + 92 * math.log(96 / 24) / math.log(296 / 24), abs=0.01
    )
    for line, (_, found) in zip(drawing.lines, curve.models.items(), strict=True):
        for spot, point in zip(line.spots, found, strict=True):
            score = point.score.score
            for place, value in ((spot.y, score.mean), (spot.low, score.ci95[0]), (spot.high, score.ci95[1])):
                assert place == pytest.approx(100 * (axis.high - value) / (axis.high - axis.low), abs=0.01)
            assert 0 <= spot.high <= spot.y <= spot.low <= 100
        assert len(line.pieces) == 2


def test_the_page_has_every_point_as_a_figure(curve):
    html = render_curve(curve)
    page = Page(html)
    for found in curve.models.values():
        for point in found:
            assert f"{100 * point.score.score.mean:.1f}\u00a0%" in html
    assert "24, 24, 24 train texts in all" in page.text and not any(tag == "script" for tag, _ in page.tags)


def test_of_equally_good_models_the_fastest_leads(tmp_path):
    rows = test_rows(60)
    for size in (8, 32):
        said = answers(rows, 0.5, size)
        slow = [replace(one, mode="reasoned", seconds=2.0) for one in said]
        write_evaluated(tmp_path / str(size), rows, {"baseline": said, "classifier": slow}, seed=1)
    sizes = [
        Size(size, (size,), tuple(arms_of_series(read_runs([tmp_path / str(size)])))[::-1])
        for size in (8, 32)
    ]
    found = learning_curve(read_runs([tmp_path / "8"])[0].rows, sizes, bootstrap_samples=100, seed=1)
    assert list(found.models) == ["classifier", "baseline"]
    assert "With 8 a label the best is Baseline (label only)" in " ".join(claims(found))
    assert "each model was trained once" in Page(render_curve(found)).text
