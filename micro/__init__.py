"""What the notebooks of this course share: two floors of small rooms.

Lower floor, helpers. They keep plots and plumbing out of the way and hide nothing that a notebook teaches:

    micro.data      the data sets: names(), shakespeare(), moons(); and results(), measured once
    micro.images    what micro.data does for pictures: cifar10(), cifar100(), load_images()
    micro.shapes    ... and drawn(), which needs no download
    micro.draw      draw_dot(): the computation graph behind a scalar, as a picture
    micro.flow      draw_flow(): which tensor comes from which, with shapes, and the gradients' way back
    micro.plot      the figures of the course in one style: loss curves, decision boundaries, bigram counts
    micro.grids     cubes() and numbers(): small tensors as pictures
    micro.compare   verdict(): is one kind better than another over several seeds, or is that noise?
    micro.train     seed(), threads(), device(); the training loop fit(), find_lr() and split_loss()
    micro.bar       progress(), a bar that leaves nothing behind
    micro.diagnose  diagnose(): any torch model read like a dashboard
    micro.patient   program(): a small training program, with any of seventeen bugs planted in it
    micro.tips      fifty folk tips, and what came of each when it was tried
    micro.check     the answers to the exercises, checked

Upper floor, graduates. Each is what a notebook built, in its last form, for the notebooks after it and
for your own projects:

    micro.engine   Value, a scalar with reverse-mode autodiff                              (notebook 01)
    micro.nn       Neuron, Layer and MLP made of Values                                    (notebook 01)
    micro.layers   Linear, the norms, gates, ... equal to their torch.nn twins         (notebooks 04, 06, 09)
    micro.wavenet  CausalConv, GatedBlock and WaveNet, with fast generation                (notebook 06)
    micro.gpt      GPT, generate(), and `python -m micro.gpt`, which trains on any text    (notebook 07)
    micro.bpe      byte pair encoding up to GPT-4's, and `python -m micro.bpe`             (notebook 08)
    micro.speedrun  CIFAR-10 against the clock: SpeedNet, Muon, the ladder of ideas        (notebook 11)
    micro.checkpoint  save() and load(): whole or not at all, and never running code       (notebook 07)

`import micro` loads none of them: take the room that you need, as in `from micro.data import names`.
A helper never imports a graduate.
"""

__version__ = "0.1.0"
