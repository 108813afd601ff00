import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from sweep.tasks import classification

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def test_scores_of_a_matrix_worked_out_by_hand() -> None:
    # Class 0: 3 of 4 found, 3 of 5 predictions right. Class 1: 1 of 3 found, 1 of 2 right.
    confusion = np.array([[3, 1], [2, 1]])
    scores = classification.class_scores(confusion)
    assert classification.accuracy(confusion) == 4 / 7
    np.testing.assert_allclose(scores.precision, [3 / 5, 1 / 2])
    np.testing.assert_allclose(scores.recall, [3 / 4, 1 / 3])
    np.testing.assert_allclose(scores.f1, [2 / 3, 2 / 5])
    np.testing.assert_allclose(scores.macro(), [11 / 20, 13 / 24, 8 / 15])
    np.testing.assert_allclose(scores.weighted()[1], 4 / 7)


def test_rows_are_true_and_columns_predicted() -> None:
    confusion = classification.confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 1]), 2)
    assert confusion.tolist() == [[0, 2], [0, 1]]


def test_a_class_that_is_never_predicted_scores_zero_without_a_warning() -> None:
    scores = classification.class_scores(np.array([[2, 0, 0], [1, 0, 0], [0, 0, 0]]))
    assert scores.precision.tolist() == [2 / 3, 0, 0]
    assert scores.recall.tolist() == [1, 0, 0]
    assert scores.f1.tolist() == [0.8, 0, 0]


def test_averages_leave_out_classes_that_do_not_occur() -> None:
    # Class 1 has images and is never predicted, class 2 is predicted and has none: both occur. Class 3 does not.
    confusion = np.array([[2, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(classification.class_scores(confusion).macro(), [2 / 9, 1 / 3, 4 / 15])
    np.testing.assert_allclose(classification.class_scores(confusion).weighted(), [1 / 3, 1 / 2, 2 / 5])


def test_no_images_give_no_accuracy() -> None:
    assert np.isnan(classification.accuracy(np.zeros((3, 3), dtype=int)))


@given(PAIRS)
def test_scores_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    y_true, y_pred = (np.array(values) for values in zip(*pairs, strict=True))
    confusion = classification.confusion_matrix(y_true, y_pred, 5)
    np.testing.assert_array_equal(confusion, confusion_matrix(y_true, y_pred, labels=range(5)))
    np.testing.assert_allclose(classification.accuracy(confusion), accuracy_score(y_true, y_pred))
    scores = classification.class_scores(confusion)
    for average, ours in (("macro", scores.macro()), ("weighted", scores.weighted())):
        # Of its own accord it averages over the labels that are true or predicted.
        theirs = precision_recall_fscore_support(y_true, y_pred, average=average, zero_division=0)[:3]
        np.testing.assert_allclose(ours, theirs)
