"""What waits in the engine process."""

import threading

from whylabel.serving import messages
from whylabel.serving.inbox import Inbox
from whylabel.serving.messages import Question

QUESTION = Question("fast")


def ask(inbox, *numbers):
    for number in numbers:
        inbox.put(messages.ask(number, 1, f"text {number}", QUESTION))


def numbers(inbox):
    found = []
    while (question := inbox.next_question()) is not None:
        found.append(question["ask"])
    return found


def test_questions_come_in_order():
    inbox = Inbox()
    ask(inbox, 3, 1, 2)
    assert numbers(inbox) == [3, 1, 2]


def test_a_question_that_is_taken_back_in_time_is_never_begun_and_is_confirmed():
    inbox = Inbox()
    ask(inbox, 1, 2, 3)
    inbox.put(messages.cancel(2))
    # What is taken back is known at once, however many questions came before.
    assert inbox.taken_back() == [2]
    assert inbox.taken_back() == []
    assert numbers(inbox) == [1, 3]


def test_whoever_waits_is_woken():
    inbox = Inbox()
    threading.Timer(0.05, ask, [inbox, 1]).start()
    inbox.wait(30)
    assert numbers(inbox) == [1]


def test_the_next_question_is_waited_for_a_moment():
    inbox = Inbox()
    assert inbox.next_question(0.01) is None
    threading.Timer(0.05, ask, [inbox, 1]).start()
    assert inbox.next_question(30)["ask"] == 1
