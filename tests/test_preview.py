"""What a model shows of itself: what it draws by chance more than once, what is always the same once."""

import pytest
import torch

from isthmus.core import Batch, Spec
from isthmus.models.catalog import find
from isthmus.training.preview import preview

SMALL = {"features": 2, "blocks": 1}


@pytest.mark.parametrize(("name", "rows"), [("cyclegan", 4), ("munit", 6)])
def test_a_translation_is_shown_again_only_where_another_draw_is_another_image(name, rows):
    model = find(name).load()(**SMALL).build(Spec(1, 16, 16), Spec(1, 16, 16)).eval()
    batches = [Batch(image=torch.randn(3, 1, 16, 16)) for _ in "ab"]
    assert len(preview(model, batches)) == rows
