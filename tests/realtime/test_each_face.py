import threading

import pytest

from realtime.each_face import EachFace


def test_one_face_is_worked_on_in_the_thread_that_asks() -> None:
    each = EachFace()
    assert each.map(lambda face: (face, threading.current_thread()), [7]) == [(7, threading.current_thread())]
    assert each.map(lambda face: face, []) == []


def test_several_come_back_in_order_from_other_threads() -> None:
    each = EachFace()
    both = threading.Barrier(2, timeout=20)

    def work(face: int) -> tuple[int, str]:
        both.wait()  # neither ends before the other has begun
        return face, threading.current_thread().name

    try:
        made = each.map(work, [0, 1])
        assert [face for face, _ in made] == [0, 1]
        assert len({name for _, name in made}) == 2
        assert threading.current_thread().name not in dict(made).values()
    finally:
        each.close()


def test_what_goes_wrong_is_raised() -> None:
    each = EachFace()
    with pytest.raises(ZeroDivisionError):
        each.map(lambda face: 1 // face, [1, 0])
    assert each.map(lambda face: 2 * face, [1, 2]) == [2, 4]
    each.close()


def test_threads_end_and_it_may_go_on_after_that() -> None:
    before, each = set(threading.enumerate()), EachFace()
    each.map(lambda face: face, [1, 2, 3])
    assert set(threading.enumerate()) - before
    each.close()
    each.close()
    assert not set(threading.enumerate()) - before
    assert each.map(lambda face: face, [1, 2]) == [1, 2]
    each.close()
