"""Settings for every test, notebooks included."""
import os

# Notebook 13 takes real photographs where it finds them. Its stored outputs belong to the drawn stand-in, which is
# there on every machine.
os.environ.setdefault("MICRO_IMAGES", "drawn")

# Tensors here are small: a second thread makes them slower, and on a busy machine many times slower.
os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("MICRO_THREADS") or "1")
