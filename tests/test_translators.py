"""Networks from images to images: sizes that come back, patches that are as large as they are said to be, memory."""

import pytest
import torch
from torch import nn

from isthmus.nn.norm import Standardise, normalised
from isthmus.nn.patch import PatchDiscriminator, Scales
from isthmus.nn.pool import Pool
from isthmus.nn.style import AdaIN, StyledBlock
from isthmus.nn.translators import Decoder, Encoder, Translator
from isthmus.nn.unet import Lasting, UNet

SIZES = pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 6), (17, 30), (32, 32)])
UPSAMPLING = pytest.mark.parametrize("upsampling", ["nearest", "transposed"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@SIZES
@UPSAMPLING
def test_images_come_back_at_the_size_that_they_had(size, upsampling):
    x = torch.rand(2, 1, *size)
    nets = (
        Translator(1, 3, features=2, blocks=1, upsampling=upsampling),
        UNet(1, 3, 2, depth=4, upsampling=upsampling),
    )
    for net in nets:
        y = net(x)
        assert y.shape == (2, 3, *size)
        assert y.abs().max() <= 1


def test_the_paper_s_residual_generator():
    """c7s1-64, d128, d256, R256 nine times, u128, u64, c7s1-3 (Zhu et al., 2017, section 7.2)."""
    net = Translator(3, 3, upsampling="transposed")
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [c.out_channels for c in convs] == [64, 128, 256, *[256] * 18, 128, 64, 3]
    assert [c.kernel_size[0] for c in convs] == [7, 3, 3, *[3] * 18, 4, 4, 7]
    assert [c.stride[0] for c in convs] == [1, 2, 2, *[1] * 18, 2, 2, 1]
    norms, called = [m for m in net.modules() if isinstance(m, nn.GroupNorm)], []
    assert not any(m.affine for m in norms), "instance normalisation has no gains here"
    for norm in norms:
        norm.register_forward_hook(lambda *_: called.append(1))
    net(torch.rand(1, 3, 8, 8))
    assert len(called) == 23


def test_encoder_and_decoder_meet_at_the_smallest_maps():
    encoder, decoder = Encoder(1, 4, halved=3, blocks=1), Decoder(2, 4, halved=3, blocks=1)
    maps = encoder(torch.rand(1, 1, 20, 13))
    assert maps.shape == (1, 32, 3, 2)
    assert decoder(maps, (20, 13)).shape == (1, 2, 20, 13)


def test_the_u_net_lays_what_it_saw_beside_what_comes_back():
    """256 pixels are halved eight times to one; every layer on the way back but the first sees twice its maps."""
    net = UNet(3, 3, 64, depth=8, upsampling="transposed")
    down = [m for fall in net.falls for m in fall if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in down] == [64, 128, 256, *[512] * 5]
    assert [rise.doubled.conv.in_channels for rise in net.rises] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert [rise.doubled.conv.out_channels for rise in net.rises] == [512, 512, 512, 512, 256, 128, 64, 3]
    plain = UNet(3, 3, 4, depth=3, skips=False)
    assert [rise.doubled.conv.in_channels for rise in plain.rises] == [16, 8, 4]


def test_dropout_of_the_u_net_is_in_the_three_innermost_layers():
    """CD512-CD512-CD512-C512-C256-C128-C64 (Isola et al., 2017, section 6.1.1), and the image."""
    *inner, image = UNet(3, 3, 4, depth=8, dropout=0.4).rises
    assert [m.share for rise in inner for m in rise.modules() if isinstance(m, Lasting)] == [0.4] * 3 + [0.0] * 4
    assert not any(isinstance(m, Lasting) for m in image.modules())


def test_dropout_of_the_u_net_stays_in_evaluation():
    x = torch.rand(1, 1, 16, 16)
    for dropout, alike in ((0.5, False), (0.0, True)):
        net = UNet(1, 1, 8, depth=4, dropout=dropout).eval()
        assert torch.equal(net(x), net(x)) == alike


def test_a_vector_given_to_the_u_net_changes_all_of_the_image():
    net = UNet(1, 1, 4, depth=3, dropout=0.0, given=2)
    x = torch.rand(1, 1, 16, 16)
    assert ((net(x, torch.tensor([[0.0, 1.0]])) - net(x, torch.tensor([[1.0, 0.0]]))).abs() > 0).all()


def patch(net: nn.Module, side: int) -> int:
    """The side of what one output of a discriminator sees."""
    x = torch.rand(1, 1, side, side, dtype=torch.double, requires_grad=True)
    out = net.double()(x)
    middle = out.shape[2] // 2
    out[0, 0, middle, middle].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("halved", "side"), [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_patches_are_as_large_as_the_paper_s(halved, side):
    assert patch(PatchDiscriminator(1, 2, halved, norm="none"), 140) == side


def test_single_pixels_are_judged_by_three_layers():
    """C64-C128 and a head, all 1x1 (Isola et al., 2017, section 6.1.2)."""
    convs = [m for m in PatchDiscriminator(3, 64, halved=0).modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size) for c in convs] == [(64, (1, 1)), (128, (1, 1)), (1, (1, 1))]


@SIZES
def test_any_image_can_be_judged(size):
    net = Scales(*(PatchDiscriminator(2, 2, norm="none") for _ in range(2)))
    whole, half = net(torch.rand(3, 1, *size), torch.rand(3, 1, *size))
    assert whole.shape[:2] == half.shape[:2] == (3, 1)
    assert half.shape[2] <= whole.shape[2]


def test_hidden_layers_of_a_patch_discriminator():
    net = PatchDiscriminator(1, 4, halved=2)
    maps = net.features(torch.rand(2, 1, 16, 16))
    assert [m.shape[1:] for m in maps] == [(4, 8, 8), (8, 4, 4), (16, 4, 4)]


def test_the_pool_fills_then_shows_old_images_half_of_the_time():
    pool = Pool(4, (1, 1, 1))
    first = torch.arange(1.0, 5)[:, None, None, None]
    assert torch.equal(pool(first), first)
    new = torch.arange(10.0, 2010)
    shown = torch.cat([pool(image[None, None, None, None]) for image in new]).flatten()
    assert (shown == new).double().mean().item() == pytest.approx(0.5, abs=0.04)
    assert pool.count == 4
    assert not torch.isin(pool.images.flatten(), first.flatten()).any()
    assert torch.equal(Pool(0, (1, 1, 1))(first), first)


def test_the_pool_never_shows_an_image_twice_that_was_swapped_out():
    pool = Pool(3, (1, 1, 1))
    shown = torch.cat([pool(torch.tensor([[[[float(i)]]]])) for i in range(1, 300)]).flatten()
    counts = shown.unique(return_counts=True)[1]
    assert counts.max() <= 2, "as it filled, and once more from the pool"


def test_style_decides_over_mean_and_deviation_alone():
    layer, x = AdaIN(2, 3), 5 + 3 * torch.randn(2, 3, 8, 8)
    style = torch.randn(2, 2)
    gain, bias = layer.affine(style).chunk(2, dim=1)
    y = layer(x, style)
    torch.testing.assert_close(y.mean((2, 3)), bias, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y.std((2, 3), correction=0), (1 + gain).abs(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(layer(2 * x + 1, style), y, atol=1e-3, rtol=1e-3)
    assert StyledBlock(3, 2)(x, style).shape == x.shape


@pytest.mark.parametrize("affine", [False, True])
def test_a_map_of_one_pixel_is_not_normalised_to_nothing(affine):
    norm, x = normalised("instance", 3, affine=affine), torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(norm(x), x)
    torch.testing.assert_close(norm(x.expand(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2), atol=1e-3, rtol=0)


def test_instance_norm_with_channels_last_is_torchs_and_so_are_its_gradients_and_theirs():
    torch.manual_seed(0)
    for affine in (False, True):
        norm = normalised("instance", 3, affine=affine).double()
        if affine:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        plain = nn.GroupNorm(3, 3, affine=affine).double()
        plain.load_state_dict(norm.state_dict())
        x = torch.randn(2, 3, 4, 5, dtype=torch.double) + 3
        found = []
        for module, image in ((norm, x.to(memory_format=torch.channels_last)), (plain, x)):
            image = image.requires_grad_()
            (slope,) = torch.autograd.grad(module(image).sigmoid().sum(), image, create_graph=True)
            (second,) = torch.autograd.grad(slope.square().sum(), image)
            found.append((module(image), slope, second))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
            assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm_keeps_the_precision_of_its_maps(affine):
    x = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for maps in (x, x.to(memory_format=torch.channels_last), x[:, :, :1, :1]):
            assert normalised("instance", 3, affine=affine)(maps).dtype == torch.bfloat16


def test_the_deviation_is_an_output_whose_gradient_is_right():
    x = torch.randn(2, 3, 4, 5, dtype=torch.double).to(memory_format=torch.channels_last).requires_grad_()
    for part in (slice(0, 1), slice(1, 2), slice(None)):
        assert torch.autograd.gradcheck(lambda x, part=part: Standardise.apply(x, 1e-5)[part], x)
        assert torch.autograd.gradgradcheck(lambda x, part=part: Standardise.apply(x, 1e-5)[part], x)
