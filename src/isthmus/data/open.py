"""Open the data that the user named, and the rule by which two domains are paired."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain, combinations
from pathlib import PurePath

import numpy as np
import torch

from isthmus.core import Spec
from isthmus.data.cache import Array
from isthmus.data.decoding import Form, decoded
from isthmus.data.images import Images
from isthmus.data.listing import Arrays, Files, Pictures, wrong_folder
from isthmus.data.options import DataOptions, Split, parse, shorten
from isthmus.data.sources import grouped, open_group
from isthmus.data.stream import Epoch, by_class, by_index
from isthmus.errors import DataError


def open_data(options: DataOptions, split: Split) -> tuple[Images, ...]:
    """One split of the data, one `Images` for each domain; train and test never share a picture."""
    groups = [open_group(sources, split, options) for sources in grouped(options)]
    files = [pictures for pictures in chain(*groups) if isinstance(pictures, Files) and pictures.half is None]
    for a, b in combinations(files, 2):
        if shared := int(a.headers.among(b.headers).sum()):
            warnings.warn(wrong_folder(shared, len(a), a.name, b.name), stacklevel=2)
    domains = [images for group in groups for images in together([to_images(d, options) for d in group])]
    return tuple(domains if options.direction == "a2b" else reversed(two(domains)))


def together(domains: list[tuple[Images, Array]]) -> list[Images]:
    """Where one picture of a pair is damaged, leave out the other too."""
    common = reduce(np.intersect1d, [kept for _, kept in domains])
    if not len(common):
        raise DataError(f"{domains[0][0].spec.name}: there is no pair of which both pictures can be read")
    return [
        images if len(kept) == len(common) else images.take(torch.from_numpy(np.searchsorted(kept, common)))
        for images, kept in domains
    ]


def to_images(pictures: Pictures, options: DataOptions) -> tuple[Images, Array]:
    """The pictures in the form that the options ask for, memory-mapped; and which of them could be read."""
    if pictures.rate:  # the form of sounds is settled
        options = replace(options, size=None, channels=None, crop=0.0, flip=False, binarise=False)
    width, height = options.width_height() or pictures.size()
    channels = options.channels or pictures.channels()
    if options.binarise and channels != 1:
        raise DataError(f"binarise is for grey pictures, and {pictures.name} has colour: add --channels 1")
    spec = Spec(channels, height, width, pictures.classes, pictures.name, pictures.rate)
    room = 1 + options.crop
    form = Form(round(width * room), round(height * room), channels, options.fit, options.binarise)
    natural = (form.channels, form.height, form.width, False)
    if isinstance(pictures, Arrays) and natural == (*pictures.pixels.shape[1:], form.binarise):
        pixels, kept = pictures.pixels, np.arange(len(pictures))
    else:
        pixels, kept = decoded(pictures, form)
    labels = None if pictures.labels is None else torch.from_numpy(pictures.labels[kept])
    names = [pictures.names[i] for i in kept.tolist()] if pictures.names else ()
    return Images(torch.from_numpy(pixels), spec, labels, names=names, flip=options.flip), kept


def pairing(options: DataOptions, domains: Sequence[Images]) -> Epoch | None:
    """How the examples of two domains belong together, or None where they are drawn independently."""
    rule = class_rule(options, domains)
    if rule is not None:
        return by_class(*two(domains), rule)
    return by_position(*domains) if aligned(options) else None


def aligned(options: DataOptions) -> bool:
    """Whether example i of one domain belongs to example i of the other."""
    paired = any(parse(spec).kind == "pairs" for spec in options.data)
    if paired and options.pair not in (None, "index"):
        raise DataError(f'pairs: are pairs by file, so that --pair "{options.pair}" has no place: leave it out')
    return paired or options.pair == "index"


def by_position(*domains: Images) -> Epoch:
    """`by_index`, after a check that file names do not contradict it."""
    a, b = two(domains)
    if a.names and b.names and len(a) == len(b):
        for i, (one, other) in enumerate(zip(below(a.names), below(b.names), strict=True)):
            if one != other:
                raise DataError(
                    f'--pair index would pair "{a.names[i]}" with "{b.names[i]}": give both the same file '
                    "names, and train/ and test/ subfolders, or put them into one folder and use pairs:PATH"
                )
    return by_index(a, b)


def below(names: Sequence[str]) -> list[PurePath]:
    """Paths without suffix, below the folders that all lie in: a split, a class, a domain."""
    paths = [PurePath(name).with_suffix("") for name in names]
    top = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(top) for path in paths]


def two(domains: Sequence[Images]) -> tuple[Images, Images]:
    if len(domains) != 2:
        raise DataError(
            f"what is paired or exchanged needs two domains, got {len(domains)}: give two specs with --data, or "
            "pairs:PATH"
        )
    return domains[0], domains[1]


def class_rule(options: DataOptions, domains: Sequence[Images]) -> dict[int, int] | None:
    """Labels of the first domain to labels of the second, or None where they are not paired by class."""
    if aligned(options) or options.pair is None:
        return None
    a, b = two(domains)
    for domain in (a, b):
        if domain.labels is None:
            raise DataError(f"pairing by class needs classes, and {domain.spec.name} has none: sort it into subfolders")
    if options.pair == "class":
        named = {name: name for name in a.spec.classes if name in b.spec.classes}
        if not named:
            raise DataError(
                f"--pair class finds no class name in both: {a.spec.name} has {shorten(a.spec.classes)}; "
                f'{b.spec.name} has {shorten(b.spec.classes)}; write a rule such as --pair "0=5,1=6"'
            )
    else:
        named = parse_rule(options.pair)
    rule = {label(a, left): label(b, right) for left, right in named.items()}
    for domain, wanted in ((a, rule.keys()), (b, rule.values())):
        for number in wanted:
            if domain.labels is not None and number not in domain.labels:
                name = domain.spec.classes[number]
                raise DataError(f"pairing by class needs examples of class {name}, and {domain.spec.name} has none")
    return rule


def parse_rule(text: str) -> dict[str, str]:
    """ "0=5,1=6" into {"0": "5", "1": "6"}."""
    pairs = [[side.strip() for side in item.split("=")] for item in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs) or len({pair[0] for pair in pairs}) < len(pairs):
        raise DataError(
            f'--pair is "index", "class", or a rule such as "0=5,1=6" that names each class of the first domain once, '
            f'got "{text}"'
        )
    return {pair[0]: pair[1] for pair in pairs}


def label(domain: Images, name: str) -> int:
    """The label of a class by its name."""
    if name not in domain.spec.classes:
        known = shorten(domain.spec.classes)
        raise DataError(f"--pair names class {name}, which {domain.spec.name} does not have: its classes are {known}")
    return domain.spec.classes.index(name)
