"""A run's report in a headless Chromium: on a phone and a wide screen, light and dark."""

import chromium
import made
import numpy as np
import pytest
import small_runs
import tensorflow as tf

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="there is no Chromium here")

# The least ratio of contrast between a text and what it stands on, by WCAG 2.1.
CONTRAST = """(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour != 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const ratios = [...document.querySelectorAll('h1,h2,h3,p,td,th,b,figcaption,text')].map(e => {
    const style = getComputedStyle(e);
    const [a, b] = [style.fill, style.color].slice(e.tagName == 'text' ? 0 : 1, 2).slice(0, 1)
      .concat(behind(e)).map(light).sort((a, b) => b - a);
    return (a + 0.05) / (b + 0.05);
  });
  return Math.min(...ratios);
})()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    splits = {"train": [small_runs.payloads(12)], "test": [small_runs.payloads(8)]}
    made.data_set(directory, splits, classes=small_runs.CLASSES, size=8)
    model_dir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        small_runs.use_tiny(patch, None)
        small_runs.train(directory, model_dir, steps=9, log_every_steps=3, eval_every_steps=3)
    return model_dir / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1400])
def test_opens_and_can_be_read(width, dark, report, browser):
    browser.open(report, width, dark)
    assert browser.requests() == [report.resolve().as_uri()]
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert browser.value(CONTRAST) >= 4.5  # WCAG 2.1, level AA
    pixels = tf.io.decode_png(browser.screenshot(), channels=3).numpy()
    assert pixels.shape[1] == width and pixels.shape[0] > 900
    assert (np.median(pixels) < 60) == dark
    drawn = len(np.unique(pixels.reshape(-1, 3), axis=0))
    assert drawn > 50, "curves, pictures and letters have more colours than that"


def test_an_error_and_a_request_would_be_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='picture.png'><script>throw Error('wrong')</script>")
    browser.open(page, 390, dark=False)
    assert len(browser.requests()) == 2 and browser.complaints()
