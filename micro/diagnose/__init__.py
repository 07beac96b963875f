"""Read any torch.nn.Module like a dashboard: one batch goes through it, and what stands out is said in words.

`print(diagnose(model, inputs, targets))` looks at a model, `Updates(model)` at how far training steps move it.
It needs torch alone (figures: matplotlib), so you can copy this folder into your projects.

    model.py      diagnose(): a copy of the model is run    findings.py   what is too much, and how it is said
    watch.py      hooks, and the record of a layer          report.py     words, table and figure
    updates.py    step / weight during training
"""
from .findings import Finding
from .model import diagnose
from .report import Report, Weight
from .updates import Updates

__all__ = ["Finding", "Report", "Updates", "Weight", "diagnose"]
