"""Laws of order: what is drawn depends on the seed and the position, and on nothing else."""

import itertools

import pytest
import torch

from isthmus.core import Spec
from isthmus.data.images import Images, to_bytes, to_unit
from isthmus.data.open import class_rule, pairing
from isthmus.data.options import DataOptions
from isthmus.data.stream import Stream, alone, by_class, by_index
from isthmus.errors import DataError


def images(n, margin=0, classes=(), name="d", flip=False):
    """Images of which each tells its number: pixel values are position-coded, the label is the number modulo k."""
    pixels = torch.arange(n * 3 * (4 + margin) * (5 + margin)).reshape(n, 3, 4 + margin, 5 + margin).to(torch.uint8)
    labels = torch.arange(n) % len(classes) if classes else None
    return Images(
        pixels, Spec(3, 4, 5, tuple(classes), name), labels, codes=torch.arange(n)[:, None].float(), flip=flip
    )


def numbers(batch):
    return batch.code[:, 0].long().tolist()


def drawn(stream, count):
    return [next(stream) for _ in range(count)]


def same(a, b):
    return torch.equal(a.image, b.image) and torch.equal(a.code, b.code)


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (7, 7), (5, 12), (1, 4), (64, 8)])
def test_every_epoch_has_every_example_once(n, batch):
    stream = Stream([images(n)], batch, seed=3)
    order = list(itertools.chain(*(numbers(b) for b in drawn(stream, 3 * n))))
    epochs = [order[i : i + n] for i in range(0, 3 * n * batch - n + 1, n)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    if n > 9:
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("n", [7, 30])
def test_ranks_see_together_what_one_process_sees(world, n):
    domain = images(n, margin=3, flip=True)
    whole = drawn(Stream([domain], 4 * world, seed=1), 9)
    parts = [drawn(Stream([domain], 4, seed=1, rank=rank, world=world), 9) for rank in range(world)]
    for position, batch in enumerate(whole):
        for rank in range(world):
            assert torch.equal(batch.image[rank::world], parts[rank][position].image)
            assert torch.equal(batch.code[rank::world], parts[rank][position].code)


def test_two_small_batches_are_one_large_one():
    domain = images(11)
    small, large = Stream([domain], 4, seed=1), Stream([domain], 8, seed=1)
    for batch in drawn(large, 6):
        first, second = next(small), next(small)
        assert numbers(batch) == numbers(first) + numbers(second)


@pytest.mark.parametrize("domains", [1, 2])
def test_resuming_is_setting_the_position(domains):
    data = [images(13, margin=2, flip=True), images(8)][:domains]
    full = drawn(Stream(data, 4, seed=5), 12)
    resumed = Stream(data, 4, seed=5)
    resumed.position = 7
    for before, after in zip(full[7:], drawn(resumed, 5), strict=True):
        pairs = [(before, after)] if domains == 1 else zip(before, after, strict=True)
        assert all(same(a, b) for a, b in pairs)
    assert resumed.position == 12


def test_seeds_differ():
    domain = images(50, margin=2)
    a, b = (next(Stream([domain], 50, seed=seed)) for seed in (0, 1))
    assert numbers(a) != numbers(b)


def test_unpaired_domains_are_independent():
    pairs = [(numbers(a), numbers(b)) for a, b in drawn(Stream([images(20), images(20)], 20), 5)]
    assert all(sorted(a) == sorted(b) == list(range(20)) and a != b for a, b in pairs)


def test_pairs_by_index_are_cropped_and_mirrored_alike():
    domain = images(20, margin=3, flip=True)
    for a, b in drawn(Stream([domain, domain], 6, pairing=by_index(domain, domain)), 8):
        assert same(a, b)
    with pytest.raises(DataError, match="equally many images: d has 20, e 4"):
        by_index(domain, images(4, name="e"))


def test_pairs_by_class_obey_the_rule():
    a, b = images(31, classes="pqrs"), images(17, classes="xyz")
    rule = {0: 2, 3: 1, 2: 1}
    stream, partners = Stream([a, b], 8, pairing=by_class(a, b, rule), seed=2), set()
    ruled = [i for i in range(31) if i % 4 in rule]
    firsts = []
    for one, other in drawn(stream, 3 * len(ruled)):
        assert all(rule[x] == y for x, y in zip(one.label.tolist(), other.label.tolist(), strict=True))
        firsts += numbers(one)
        partners |= set(numbers(other))
    assert sorted(firsts[: len(ruled)]) == ruled
    assert partners == {i for i in range(17) if i % 3 in rule.values()}


def paired(pair, a, b, data=("digits", "mnist")):
    return DataOptions(data=data, pair=pair), (a, b)


def test_rules_are_written_with_names():
    a, b = images(12, classes="012"), images(12, classes="567")
    assert class_rule(*paired("0=5,2=7", a, b)) == {0: 0, 2: 2}
    assert class_rule(*paired(" 0 = 6 , 1=6 ", a, b)) == {0: 1, 1: 1}
    c = images(12, classes="201")
    assert class_rule(*paired("class", a, c)) == {0: 1, 1: 2, 2: 0}
    assert class_rule(*paired(None, a, b)) is None
    assert class_rule(*paired("index", a, b)) is None
    assert pairing(*paired(None, a, b)) is None
    assert len(pairing(*paired("index", a, b))(torch.Generator())) == 2
    assert len(pairing(*paired("class", a, c))(torch.Generator())[0]) == 12


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("0=9", "--pair names class 9, which b does not have: its classes are 5, 6, 7"),
        ("9=5", "--pair names class 9, which a does not have"),
        ("0=5,0=6", "names each class of the first domain once"),
        ("0:5", '"index", "class", or a rule'),
        ("0=", '"index", "class", or a rule'),
        ("", '"index", "class", or a rule'),
        ("class", "no class name in both: a has 0, 1, 2; b has 5, 6, 7"),
        ("index", "equally many"),
        ("2=5", "needs examples of class 2, and a has none"),
    ],
)
def test_rules_that_make_no_sense(pair, message):
    a, b = images(2, classes="012", name="a"), images(12, classes="567", name="b")
    with pytest.raises(DataError, match=message):
        pairing(*paired(pair, a, b))


def test_pairing_needs_two_domains_with_classes():
    a = images(4, classes="01")
    with pytest.raises(DataError, match="needs two domains, got 1"):
        pairing(DataOptions(pair="class"), (a,))
    with pytest.raises(DataError, match="d has none: sort it into subfolders"):
        pairing(*paired("0=0", a, images(4)))
    with pytest.raises(DataError, match="leave it out"):
        pairing(*paired("class", a, a, data=("pairs:x",)))


def test_index_pairs_are_checked_by_name():
    from dataclasses import replace

    a, b = (replace(images(2), names=names) for names in (["x/1.png", "x/2.png"], ["y/1.jpg", "y/3.jpg"]))
    with pytest.raises(DataError, match=r'would pair "x/2\.png" with "y/3\.jpg"'):
        pairing(*paired("index", a, b))


def test_index_pairs_are_checked_below_what_all_have_in_common():
    from dataclasses import replace

    def pair(*names):
        return pairing(*paired("index", *(replace(images(2), names=n) for n in names)))

    assert pair(["train/A/1/x.png", "train/A/2/x.png"], ["B/train/1/x.jpg", "B/train/2/x.jpg"]) is not None
    with pytest.raises(DataError, match=r'would pair "2/x\.png" with "3/x\.png"'):
        pair(["1/x.png", "2/x.png"], ["1/x.png", "3/x.png"])


def test_crops_and_mirrors():
    domain = images(40, margin=3, flip=True)
    index = torch.arange(40)
    batch = domain.batch(index, torch.Generator().manual_seed(0))
    found = set()
    for i in range(40):
        pixels = to_unit(domain.pixels[i])
        matches = {
            (top, left, mirrored)
            for top, left, mirrored in itertools.product(range(4), range(4), (False, True))
            if torch.equal(
                batch.image[i],
                (crop := pixels[:, top : top + 4, left : left + 5]) if not mirrored else crop.flip(-1),
            )
        }
        assert matches
        found |= matches
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == {0, 1, 2, 3}
    assert {mirrored for *_, mirrored in found} == {False, True}
    plain = domain.batch(index)
    assert torch.equal(plain.image, to_unit(domain.pixels[:, :, 1:5, 1:6]))


def test_bytes_and_units():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_unit(every)), every)
    assert to_unit(every)[[0, -1]].tolist() == [-1, 1]
    assert to_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_taking_some_examples():
    from dataclasses import replace

    domain = replace(images(6, classes="ab"), names=list("uvwxyz"))
    few = domain.take(torch.tensor([4, 1]))
    assert len(few) == 2
    assert few.names == ["y", "v"]
    assert numbers(few.batch(torch.arange(2))) == [4, 1]
    assert few.labels.tolist() == [0, 1]
    codes = few.with_codes(lambda image: image.flatten(1)[:, :2]).codes
    assert torch.equal(codes, few.batch(torch.arange(2)).image.flatten(1)[:, :2])


def test_alone_is_a_permutation():
    (order,) = alone(images(9))(torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(9))
