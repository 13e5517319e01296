"""The code on the display is the code: every square where it belongs, with its white around it."""

from __future__ import annotations

import numpy as np
import pytest
import segno

from daemon.payment import emvco
from daemon.payment.money import Amount
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY
from daemon.screen.views import ShowCode

SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")
CODE = emvco.payload(SHOP, Amount(1850, "CNY"), "kf-aaaaaaaaaaaaaaaa-1800000000-0123456789ab", 1)


@pytest.mark.parametrize("size", [(800, 480), (480, 800), (1280, 800), (480, 320)])
def test_every_module_of_the_code_is_drawn_black_on_white(size):
    pixels = Renderer(size).render(scene(ShowCode(1850, "CNY", CODE, 42), "en", DAY, size))
    wanted = np.array([list(row) for row in segno.make(CODE, error="m", micro=False).matrix], dtype=bool)
    dark = (pixels[..., :3] == 0).all(axis=2)
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    top, left = rows[0], columns[0]
    pixel = (columns[-1] + 1 - left) // wanted.shape[1]
    assert pixel >= 3, "a phone must be able to tell the modules apart"
    seen = dark[top + pixel // 2 :: pixel, left + pixel // 2 :: pixel][: wanted.shape[0], : wanted.shape[1]]
    assert (seen == wanted).all()
    quiet = pixels[top - 4 * pixel : top, left - 4 * pixel : left + wanted.shape[1] * pixel, :3]
    assert (quiet == 255).all(), "four modules of white around it (ISO/IEC 18004)"
