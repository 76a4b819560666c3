"""From a data spec to its pictures."""

from __future__ import annotations

from isthmus.data.listing import Pictures
from isthmus.data.options import DataOptions, Source, Split, parse


def grouped(options: DataOptions) -> list[tuple[Source, ...]]:
    """The data specs; two folders that are paired by the names of their pictures are opened together."""
    sources = [parse(spec) for spec in options.data]
    if options.pair == "index" and [source.kind for source in sources] == ["folder", "folder"]:
        return [tuple(sources)]
    return [(source,) for source in sources]


def open_group(sources: tuple[Source, ...], split: Split, options: DataOptions) -> tuple[Pictures, ...]:
    """The pictures of one split of a group; of several domains, example i of one belongs to example i of the other."""
    if len(sources) == 1:
        return open_source(sources[0], split, options)
    from isthmus.data.pairs import open_matched

    return open_matched(sources, split, options.test_fraction)


def open_source(source: Source, split: Split, options: DataOptions) -> tuple[Pictures, ...]:
    """The pictures of one split: of one domain, or of two for `pairs:`. Raises `DataError` with the mend."""
    if source.kind == "folder":
        from isthmus.data.files import open_folder

        return (open_folder(source, split, options.test_fraction),)
    if source.kind == "pairs":
        from isthmus.data.pairs import open_pairs

        return open_pairs(source, split, options.test_fraction)
    if source.kind == "audio":
        from isthmus.data.audio import open_audio

        return (open_audio(source, split, options),)
    if source.kind == "hf":
        from isthmus.data.hub import open_hub

        return (open_hub(source, split, options.test_fraction),)
    from isthmus.data.named import open_named

    return (open_named(source, split, options.root()),)
