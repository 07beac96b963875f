"""The data sets of the course.

    names()                  32,257 first names                          notebooks 02 to 06
    next_letter_examples()   contexts of letters and what comes next     notebook 03, which builds it
    shakespeare()            nine plays as one string                    notebooks 07 and 08
    moons()                  two interleaving half circles of points     notebook 01
    drawn()                  small drawn pictures of ten shapes          no download
    cifar10(), cifar100()    60,000 small photographs                    downloaded at the first call
    load_images()            your own photographs, from an .npz file
    results(name)            what was measured once, at full length      where a notebook cites it
    processor()              the processor's model, for new results
"""
from micro.data.cifar import DataUnavailable, Images, cifar10, cifar100, load_images
from micro.data.drawn import drawn
from micro.data.points import moons
from micro.data.recorded import processor, results
from micro.data.texts import names, shakespeare

__all__ = ["DataUnavailable", "Images", "cifar10", "cifar100", "drawn", "load_images", "moons", "names",
           "next_letter_examples", "processor", "results", "shakespeare"]


def __getattr__(name):
    """next_letter_examples() alone needs torch, which takes seconds to import; so it is imported when asked for."""
    if name == "next_letter_examples":
        from micro.data.letters import next_letter_examples
        return next_letter_examples
    raise AttributeError(f"micro.data has no {name!r}; it has {', '.join(__all__)}.")
