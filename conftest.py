"""Settings for every test, notebooks included."""
import os

# Notebook 13 takes real photographs where it finds them. Its stored outputs belong to the drawn stand-in, which is
# there on every machine.
os.environ.setdefault("MICRO_IMAGES", "drawn")

# Tensors here are small: a second thread makes them slower, and on a busy machine many times slower.
os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("MICRO_THREADS") or "1")


def pytest_xdist_auto_num_workers(config):
    """One process per core, or fewer if each has several threads: more threads than cores wait for each other."""
    return max(1, (os.cpu_count() or 1) // int(os.environ["OMP_NUM_THREADS"].split(",")[0]))
