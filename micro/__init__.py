"""What the notebooks of this course build, and what they share.

Built by the notebooks: the same code as their cells, for the notebooks after them and for your own projects.

    micro.engine    01         Value: a scalar with reverse-mode autodiff
    micro.nn        01         Neuron, Layer, MLP, made of Values
    micro.layers    04 06 10   Linear, batch norm and the other norms, the gated feed-forward, ... on torch tensors
    micro.wavenet   06         CausalConv, GatedBlock, WaveNet, with fast generation
    micro.gpt       07         GPT, generate(), checkpoints; `python -m micro.gpt` trains one on any text
    micro.bpe       08         byte pair encoding up to GPT-4's tokenizer; `python -m micro.bpe`
    micro.speedrun  13         CIFAR-10 against the clock; `python -m micro.speedrun`

Shared by the notebooks: helpers that keep plots and plumbing out of the way. They hide nothing that a notebook teaches.

    micro.data      the data sets: names(), shakespeare(), moons(), cifar10(), drawn(), ...; results(), measured once
    micro.train     seed(), threads(), device(), fit(), find_lr(), split_loss(), median_ms()
    micro.progress  progress(): a bar that leaves nothing behind
    micro.plot      every matplotlib figure
    micro.draw      every Graphviz picture: draw_dot(), draw_flow()
    micro.stats     means with standard errors, t-tests, tables that say whether a difference is more than noise
    micro.files     whole_file(): a file is written completely or not at all; Problem: an error in one sentence
    micro.diagnose  diagnose(): read any torch model like a dashboard (built in 04)
    micro.check     the exercises' checks, one file per notebook, and the programs with bugs of notebook 11

`import micro` loads none of them: import what you need, as in `from micro.data import names`. What is shared never
imports what a notebook builds.
"""

__version__ = "0.1.0"
