"""Few-Shot Unsupervised Image-to-Image Translation. Liu et al., 2019. arXiv:1905.01723.

An image becomes one of a class that a few examples show, even of a class that no training image was of. What it keeps,
its content, is maps from which instance normalisation has taken the looks; what the class adds is a code, the mean of
those of its examples, which enters the decoder as gains and biases of normalised maps. The discriminator has an output
for each class of the training, and only that of the image's class is asked whether the image is real: so looks of
another class are no answer, and the only way to the right ones is the code.

Of a class the training shows one example at a time; there may be more afterwards, when it is the generator's average
over the training that should translate.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.core import Batch, Model, Player, Spec, Styles, Turn
from isthmus.errors import ConfigError
from isthmus.losses.adversarial import high, hinge_fake, hinge_real
from isthmus.losses.penalty import zero_centred
from isthmus.nn.initialise import he
from isthmus.nn.labels import Centres, classes_of, drawn, own
from isthmus.nn.residual import PreActivated
from isthmus.nn.style import StyledDecoder, StyleEncoder
from isthmus.nn.translators import Edge, Encoder, size

__all__ = ["FUNIT"]

MEMORY = 0.9  # how much of a class's mean code stays from batch to batch


class Discriminator(nn.Module):
    """Images and their classes [batch] to outputs of patches [batch, h, w], and to features [batch, width] below."""

    def __init__(self, channels: int, features: int, halved: int, classes: int) -> None:
        super().__init__()
        widths = [features * min(16, 1 << i) for i in range(halved + 2)]
        layers: list[nn.Module] = [Edge(channels, features)]
        for before, after in pairwise(widths):
            layers += [PreActivated(before, before), PreActivated(before, after), nn.AvgPool2d(2, ceil_mode=True)]
        self.trunk = nn.Sequential(*layers[:-1])
        self.head = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], classes, 1))

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(image)
        return own(self.head(x), label), x.mean((2, 3))


class FUNIT(Model, Styles):
    """FUNIT: L_GAN + reconstruction L_R + matching L_F (eq. 3), and R1 on real images.

    Of an image x and an example y: L_GAN by hinges (eq. 4), L_R = |G(x, x) - x| (eq. 5), L_F = |D_f(G(x, y)) - D_f(y)|
    (eq. 6) of features averaged over all places.
    """

    style_size: int = 64  # how many numbers the code of a class has
    features: int = 64  # maps at full size, doubled whenever the sides are halved
    halved: int = 3  # how often the content's sides are halved; the class's once more
    blocks: int = 2  # residual blocks of the content encoder and of the decoder
    hidden: int = 256  # units of the decoder's layers that see the code
    judged: int = 4  # how often the discriminator halves the sides
    upsampling: Literal["nearest", "transposed"] = "nearest"  # or transposed convolutions, which the paper has not
    reconstruction: float = 0.1  # lambda_R, weight of an image that its own content and code give back
    matching: float = 1.0  # lambda_F, weight of features being those of the example; 0 is an ablation
    penalty: float = 10.0  # weight of R1, half the squared slope of the discriminator on real images
    conditional: bool = True  # whether the discriminator has an output for each class; one for all is an ablation
    weight_decay: float = 1e-4  # weight of the squared weights
    lr: float = 1e-4  # learning rate of RMSProp
    eager = ("discriminator",)  # the penalty differentiates its gradient
    separable = False  # an image's example is another of the batch
    run_defaults = {"average": 0.999}

    def __post_init__(self) -> None:
        self.positive("features", "hidden", "lr")
        self.at_least(style_size=1, halved=1, blocks=1, judged=0)
        self.not_negative("reconstruction", "matching", "penalty", "weight_decay")

    def networks(self, spec: Spec) -> None:
        self.classes, channels = classes_of(spec), spec.channels
        form = channels, self.features, self.halved
        self.content_encoder = Encoder(*form, self.blocks)
        self.class_encoder = StyleEncoder(channels, self.features, self.halved - 1, self.style_size)
        self.decoder = StyledDecoder(*form, self.blocks, self.style_size, self.hidden, self.upsampling, norm="instance")
        heads = self.classes if self.conditional else 1
        self.discriminator = Discriminator(channels, self.features, self.judged, heads)
        self.known = Centres(self.classes, self.style_size, MEMORY)
        he(self.content_encoder, self.class_encoder, self.decoder, self.discriminator)

    def players(self) -> dict[str, Player]:
        settings: dict[str, Any] = {"lr": self.lr, "optimizer": "RMSprop", "weight_decay": self.weight_decay}
        return {
            "discriminator": Player(self.discriminator, **settings),
            "generator": Player(self.content_encoder, self.class_encoder, self.decoder, **settings),
        }

    def turns(self, batches: Iterator[Batch]) -> Iterator[Turn]:
        batch = next(batches)
        x, label = batch.image, batch.label
        if len(x) == 1:
            raise ConfigError("an image's example is another of its batch; give --batch-size 2 or more")
        order = torch.rand(len(x), device=x.device).argsort(stable=True)
        example = order.roll(1)[order.argsort()]  # a cycle through the whole batch: none is its own example
        codes, content = self.class_encoder(x), self.content_encoder(x)
        self.known(codes.detach(), label)
        # Each image is rebuilt, and translated to the class of its example.
        made = self.decoder(torch.cat([content, content]), torch.cat([codes, codes[example]]), size(x))
        rebuilt, translated = made.chunk(2)
        wanted = label[example]
        yield Turn("discriminator", self.judge_losses(batch, translated.detach(), wanted))

        outputs, shown = self.judge(made, torch.cat([label, wanted]))
        with torch.no_grad():
            _, real = self.judge(x, label)
        yield Turn(
            "generator",
            {
                "adversarial": high(outputs),  # the mean over both
                "reconstruction": self.reconstruction * F.l1_loss(rebuilt, x),
                "matching": 2 * self.matching * F.l1_loss(shown, torch.cat([real, real[example]])),  # the sum over both
            },
        )

    def judge_losses(self, batch: Batch, translated: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """What real images, and translations to the classes `wanted`, cost the discriminator (eq. 4)."""
        image = batch.image.detach().requires_grad_()
        outputs, _ = self.judge(image, batch.label)
        slope = zero_centred(outputs.mean((1, 2)), image)
        made, _ = self.judge(translated, wanted)
        return {"real": hinge_real(outputs), "fake": hinge_fake(made), "penalty": self.penalty * slope}

    def judge(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs for the images' classes, and the features."""
        return self.discriminator(image, label if self.conditional else torch.zeros_like(label))

    @property
    def targets(self) -> tuple[str, ...]:
        """There is one, whatever class the examples show."""
        return ("example",)

    def ends(self, to: str) -> tuple[Spec, Spec]:
        return self.spec, self.spec

    def style(self, image: Tensor, of: str) -> Tensor:
        """Class codes [batch, style]; that of a class is the mean over its examples (eq. 2)."""
        return self.class_encoder(image)

    def draw_style(self, n: int, to: str) -> Tensor:
        """Codes of classes of the training at random, each the mean of those that the class has lately had."""
        return self.known.centres[drawn(n, self.classes, self.device)]

    def restyle(self, image: Tensor, to: str, style: Tensor) -> Tensor:
        return self.decoder(self.content_encoder(image), style, size(image))
