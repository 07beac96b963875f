"""What a run gives, and how its time is taken."""

import dataclasses
import time

import torch


@dataclasses.dataclass(frozen=True)
class Result:
    """One run. seconds: whitening, normalization, augmentation, training and test-time views, all inside."""

    accuracy: float         # on the test images, 0 to 1
    seconds: float
    seconds_test: float     # of those, the test-time views
    seconds_reset: float    # before the clock: new random weights


class Clock:
    """Points in time and the seconds between them: CUDA events on a GPU, else the processor's clock.

    A CUDA event is a mark in the GPU's own queue: the program does not have to wait for it, and what it
    measures is when the GPU came by, not when Python asked.
    """

    def __init__(self, device):
        self.cuda = device.type == "cuda"

    def now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self):
        """Until the GPU has done all that it was asked."""
        if self.cuda:
            torch.cuda.synchronize()

    def between(self, start, stop):
        if not self.cuda:
            return stop - start
        self.wait()
        return start.elapsed_time(stop) / 1000
