"""Reading ahead: threads make the next items while the caller works on one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int, depth: int = 2) -> Iterator[Made]:
    """``make`` of each item, in order.

    Threads instead of processes: decoders release Python's lock, images need no copying between processes, and an
    error keeps its type. They end with the iteration; close the iterator if it may not reach its end.

    Args:
        make: Called in a thread for one item at a time per thread; its error is raised at its item's turn.
        items: The items.
        workers: Threads; 0 makes each item when it is asked for.
        depth: Items for each thread to be ahead, which bounds the memory.
    """
    if workers == 0:
        yield from map(make, items)
        return
    coming, waiting = iter(items), deque[Future[Made]]()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reading ahead")
    try:
        for item in coming:
            waiting.append(pool.submit(make, item))
            if len(waiting) > depth * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
