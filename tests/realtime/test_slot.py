import threading

import pytest

from realtime.slot import Slot, SlotClosed


def test_the_newest_item_wins_and_says_so() -> None:
    slot: Slot[int] = Slot()
    assert [slot.offer(1), slot.offer(2), slot.offer(3)] == [False, True, True]
    assert slot.get() == 3


def test_a_writer_that_waits_loses_nothing() -> None:
    slot: Slot[int] = Slot()
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(slot.get() for _ in range(200)))
    reader.start()
    for value in range(200):
        slot.put(value)
    reader.join(5)
    assert got == list(range(200))


def test_the_last_item_is_read_before_the_end() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    slot.finish()
    assert slot.get() == 1
    with pytest.raises(SlotClosed):
        slot.get()


def test_a_writer_that_waits_is_woken_when_the_reader_goes() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    woken = threading.Event()

    def write() -> None:
        with pytest.raises(SlotClosed):
            slot.put(2)
        woken.set()

    thread = threading.Thread(target=write)
    thread.start()
    slot.cancel()
    assert woken.wait(5)
    thread.join()
    with pytest.raises(SlotClosed):
        slot.get()


def test_an_empty_slot_times_out() -> None:
    with pytest.raises(TimeoutError):
        Slot[int]().get(0.01)
