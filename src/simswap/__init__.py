"""SimSwap Lab: train, sweep, ablate and measure SimSwap face-swapping networks."""

import os

__version__ = "0.1.0"

from simswap.home import settle_home

NO_HOME = settle_home()  # first of all: libraries look for the home folder when they are imported
"""What front doors say where the user has no home folder; None where there is one."""

WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""How OpenMP's threads wait for work: 1,000 looks, some microseconds (GNU's OpenMP, torch's on Linux); 1 ms (LLVM's).

Their own way is 300 times as long. Beside other processes they then keep the core from the very thread that they wait
for. Without any looks they sleep at once, and a training that has the machine to itself is a fifth slower
(docs/training.md, benchmarks/threads.py). OpenMP reads it once, when torch is first imported.
"""

if not {"OMP_WAIT_POLICY", *WAITING} & set(os.environ):
    os.environ.update(WAITING)
