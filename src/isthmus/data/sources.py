"""From a data spec to its pictures."""

from __future__ import annotations

from isthmus.data.listing import Pictures
from isthmus.data.options import DataOptions, Source, Split


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
