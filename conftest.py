"""Settings for every test, notebooks included."""
import os

# Notebook 11 takes real photographs where it finds them. Its stored outputs belong to the drawn stand-in, which is
# there on every machine.
os.environ.setdefault("MICRO_IMAGES", "drawn")
