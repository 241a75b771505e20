"""The tab where a swap is tried: what its controls say."""

from dataclasses import fields

from simswap.app.try_tab import PASTE_FIELDS, pasted
from simswap.faces.paste import PasteSettings


def test_a_setting_without_a_control_stays_as_the_page_was_started():
    start = PasteSettings(detail_fade=None)
    assert pasted(start, (1.2, 0.5, "match", 0.25)) == PasteSettings(1.2, 0.5, "match", 0.25, None)
    assert {*PASTE_FIELDS, "detail_fade"} == {field.name for field in fields(PasteSettings)}
