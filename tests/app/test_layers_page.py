"""The tab of layers in a real browser: a pair is compared once, and m and M then move by the keyboard."""

import pytest

from tests.app.visits import PHONE, UNNAMED, Visit, shown


@pytest.mark.browser
def test_the_layers_of_a_pair_follow_the_range(site, browser):
    with Visit(browser, site, PHONE) as user:
        user.tab("Layers")
        user.button("Compare layers").click()
        user.says("there is no source photo")
        user.choose("Example pair for layers", "rendered, woman → rendered, man")
        for name in ("layers-source", "layers-target"):
            user.page.locator(f"#{name} img").wait_for()
        user.button("Compare layers").click()
        user.says("This is the range of its training.")
        pictures = user.page.locator("#layers-result img").all()
        assert len(pictures) == 3 + 2 * 5 + 1  # faces; four layers and the range of each discriminator; the colors
        assert all(shown(picture) for picture in pictures)
        assert user.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        assert user.page.evaluate(UNNAMED) == []
        cells = [float(cell) for cell in user.page.locator("#layers-result td").all_inner_texts() if cell[-1].isdigit()]
        first, last = (user.page.locator(f"#layers-{side} input[type=range]") for side in ("first", "last"))
        # m to the left end, M to it, and m to the right end, where it takes M along
        for slider, key, m, end in ((first, "Home", 0, 3), (last, "Home", 0, 0), (first, "End", 3, 3)):
            slider.focus()
            user.page.keyboard.press(key)
            user.says(f"Layers {m} to {end} of 0 to 3")
            words = user.page.locator("#layers-result p[role=status]").inner_text()
            total = float(words.split(" = ")[1].split(",")[0])
            assert total == pytest.approx(sum(cells[2 * m : 2 * end + 2]), abs=2e-3)
            assert user.page.locator("#layers-result figure.in").count() == 2 * (end - m + 1)
        assert (first.input_value(), last.input_value()) == ("3", "3")
        user.page.get_by_label("mean over layers").check()
        user.says("Layers 3 to 3 of 0 to 3, mean")
