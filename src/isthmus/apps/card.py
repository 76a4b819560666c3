"""The model card: what a saved model is and how it is used, for its folder or its page on the hub."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.core import Autoencodes, Completes, Model, Samples, Scores, Spec, Swaps, Translates
from isthmus.models.catalog import find, name_of

USES = (
    (Translates, 'model.translate("picture.jpg", to="{to}")  # a PIL image'),
    (Samples, "model.sample(16)  # float [16, channels, height, width] in [-1, 1]"),
    (Autoencodes, 'model.reconstruct("picture.jpg")  # a PIL image'),
    (Swaps, 'model.swap("picture.jpg")  # a list of PIL images, one for each class'),
    (Completes, 'model.complete("picture.jpg", "top")  # a PIL image'),
    (Scores, 'model.score("picture.jpg")  # log-likelihood in nats'),
)


def card(model: Model, domains: Mapping[str, Spec], where: str) -> str:
    """The content of README.md; `where` is what to load."""
    entry = find(name_of(model))
    paper = f"{entry.title}. {entry.authors}, {entry.year}."
    if entry.arxiv:
        paper += f" [arXiv:{entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})"
    rows = "\n".join(f"| {letter} | {spec.name or 'unnamed'} | {spec} |" for letter, spec in domains.items())
    options = "\n".join(f"- `{k}`: {v}" for k, v in model.config().items() if not isinstance(v, Model))
    to = model.targets[-1] if isinstance(model, Translates) else ""
    uses = "\n".join(example.replace("{to}", to) for capability, example in USES if isinstance(model, capability))
    return f"""---
library_name: isthmus
tags: [isthmus, {entry.name}]
---
# {entry.name}

{paper}

| domain | data | images |
| --- | --- | --- |
{rows}

{options}

```python
import isthmus

model = isthmus.load("{where}")
{uses}
```
"""
