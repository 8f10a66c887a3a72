from whylabel.training.row_order import RowOrder

LENGTHS = [(row * 7) % 50 + 1 for row in range(103)]


def test_every_row_comes_once_an_epoch_and_epochs_differ():
    order = RowOrder(LENGTHS, 8, seed=1)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == sorted(second) == list(range(103))
    assert first != second
    assert len(order) == 103


def test_seed_and_epoch_alone_decide():
    again = RowOrder([length + 3 for length in LENGTHS], 8, seed=1)
    assert list(RowOrder(LENGTHS, 8, seed=1)) == list(again)
    assert list(RowOrder(LENGTHS, 8, seed=2)) != list(again)


def test_rows_of_a_batch_are_of_similar_length():
    rows = list(RowOrder(LENGTHS, 8, seed=1))
    batches = [[LENGTHS[row] for row in rows[at : at + 8]] for at in range(0, 96, 8)]
    padding = sum(max(batch) * 8 - sum(batch) for batch in batches)
    plain = [LENGTHS[at : at + 8] for at in range(0, 96, 8)]
    assert padding < 0.3 * sum(max(batch) * 8 - sum(batch) for batch in plain)


def test_few_rows():
    assert list(RowOrder([5], 8, seed=1)) == [0]
    assert sorted(RowOrder([5, 1, 3], 2, seed=1)) == [0, 1, 2]
