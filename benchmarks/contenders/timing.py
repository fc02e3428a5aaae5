"""The speed of anything that gives batches without end. Needs nothing but Python."""

import time

WARM_UP, SECONDS = 4, 6


def timed(batches, batch_size: int, seconds: float = SECONDS) -> dict:
    """Pictures a second, and milliseconds of processor time a picture, after `WARM_UP` batches."""
    iterator = iter(batches)
    for _ in range(WARM_UP):
        next(iterator)
    begin, processor, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begin + seconds:
        next(iterator)
        count += batch_size
    passed, processor = time.perf_counter() - begin, time.process_time() - processor
    return {"images_per_second": count / passed, "processor_ms": 1e3 * processor / count}
