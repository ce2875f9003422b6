"""Where torch's time goes: by module, of a network that runs as it stands, or by kernel, of a compiled one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from engines.contract import LayerTime

MARK = "layer "
_NOT_WORK = ("Torch-Compiled Region", "## ", "ProfilerStep", "Activity Buffer", "TorchDynamo", "Pregraph", MARK)
"""Ranges that only enclose what is counted by itself."""


def by_layer(run: Callable[[], object], network: Any, draws: int, *, cuda: bool) -> list[LayerTime]:
    """Milliseconds of every innermost module, named as in the network; the rest (joins, crops, shuffles) as one.

    Args:
        run: one run, which calls ``network``.
        network: its modules are marked while this lasts; a compiled one would be compiled again.
        draws: runs.
        cuda: by the GPU's clock; else by the CPU's.
    """
    with _marked(network):
        events = _events(run, draws, cuda)
    attribute = "device_time_total" if cuda else "cpu_time_total"
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    marked = [event for event in events if event.key.startswith(MARK) and not _on_gpu(event)]
    found = [
        LayerTime(
            name=(name := event.key.removeprefix(MARK)),
            ms=getattr(event, attribute) / 1e3 / draws,
            calls=event.count / draws,
            what=kinds[name],
        )
        for event in marked
    ]
    rest = sum(one.ms for one in _work(events, draws, cuda)) - sum(one.ms for one in found)
    return [*found, LayerTime(name="(between modules)", ms=max(0.0, rest))]


def by_kernel(run: Callable[[], object], draws: int, *, cuda: bool) -> list[LayerTime]:
    """Milliseconds of every kernel on a GPU, of every operator on a CPU, over ``draws`` runs."""
    return _work(_events(run, draws, cuda), draws, cuda)


def _work(events: list[Any], draws: int, cuda: bool) -> list[LayerTime]:
    attribute = "self_device_time_total" if cuda else "self_cpu_time_total"
    return [
        LayerTime(name=event.key, ms=getattr(event, attribute) / 1e3 / draws, calls=event.count / draws)
        for event in events
        if _on_gpu(event) == cuda and getattr(event, attribute) > 0 and not event.key.startswith(_NOT_WORK)
    ]


def _events(run: Callable[[], object], draws: int, cuda: bool) -> list[Any]:
    from torch.profiler import ProfilerActivity, profile

    run()  # what is set up at the first run is not counted
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        for _ in range(draws):
            run()
    return list(profiler.key_averages())


def _on_gpu(event: Any) -> bool:
    return "CUDA" in str(event.device_type)


@contextmanager
def _marked(network: Any) -> Iterator[None]:
    """Every innermost module runs within a range of its name."""
    from torch.profiler import record_function

    open_: list[Any] = []

    def enter(name: str) -> Callable[..., None]:
        def hook(*_what: object) -> None:
            mark = record_function(MARK + name)
            mark.__enter__()  # type: ignore[no-untyped-call]
            open_.append(mark)

        return hook

    def leave(*_what: object) -> None:
        open_.pop().__exit__(None, None, None)

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if not list(module.children()):
                for handle in (module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)):
                    hooks.callback(handle.remove)
        yield
