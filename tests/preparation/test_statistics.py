"""Mean and standard deviation over all pictures, or over a sample that is said."""

import numpy as np
import pytest
from made_pictures import Heard, noise, payloads, picture, pictures, write

from resnet_tf.input import records
from resnet_tf.preparation import plan, statistics
from resnet_tf.preparation.statistics import Statistics

import tensorflow as tf  # isort: skip


def numpy_summary(arrays):
    flat = np.concatenate([a.reshape(-1, a.shape[2]) for a in arrays]).astype(np.float64)
    return flat.mean(axis=0), flat.std(axis=0)


def gathered(arrays):
    made = Statistics()
    for pixels in arrays:
        made.look(*pixels.shape)
        made.measure(pixels)
    return made


def check(found, arrays):
    mean, std = numpy_summary(arrays)
    np.testing.assert_allclose(found.summary()["mean"], mean, atol=5.1e-5)
    np.testing.assert_allclose(found.summary()["std"], std, atol=5.1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_sums_do_not_depend_on_the_chunk(monkeypatch, chunk):
    monkeypatch.setattr(statistics, "_CHUNK", chunk)
    arrays = [noise(i, 3 + i, 5) for i in range(4)]
    check(gathered(arrays), arrays)


def test_a_large_offset_and_a_small_spread_are_exact():
    pixels = np.full((1000, 1000, 1), 254, np.uint8)
    pixels[0, 0] = 255
    found = gathered([pixels] * 30).summary()
    assert found["mean"] == (254.0,)  # 254.000001
    assert found["std"] == (0.001,)  # sqrt(1e-6 · (1 - 1e-6))


def test_parts_add_up_in_any_order():
    arrays = [noise(i, 4, 6) for i in range(5)]
    parts = [[arrays[0]], arrays[1:4], arrays[4:]]
    for order in ((0, 1, 2), (2, 0, 1)):
        total = Statistics()
        for i in order:
            total.add(Statistics.from_json(gathered(parts[i]).to_json()))
        check(total, arrays)
        assert (total.pictures, total.measured, total.pixels) == (5, 5, 5 * 24)
        assert total.summary()["height"] == 4


def test_sizes_of_parts_vary():
    total = gathered([noise(0, 4, 4)])
    total.add(gathered([noise(0, 4, 5)]))
    assert (total.summary()["height"], total.summary()["width"]) == (None, None)


def pixels_on_disk(manifest, split="train"):
    return [
        tf.io.decode_image(records.decode(payload)[0]).numpy()
        for payload in payloads(manifest, split)
    ]


def test_a_large_set_is_measured_over_its_first_records(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "MEASURED_PIXELS", 5 * 16)
    heard = Heard()
    manifest = write(tmp_path / "out", {"train": pictures(12)}, progress=heard)
    mean, std = numpy_summary(pixels_on_disk(manifest)[:5])
    np.testing.assert_allclose(manifest.mean, mean, atol=5.1e-5)
    np.testing.assert_allclose(manifest.std, std, atol=5.1e-5)
    assert "mean and std are taken over 5 of 12 pictures of 'train'" in heard.lines


def test_each_shard_has_its_share_of_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_BYTES", sum(p.size for p in pictures(12)) / 3)
    monkeypatch.setattr(plan, "MEASURED_PIXELS", 6 * 16)
    manifest = write(tmp_path / "out", {"train": pictures(12)})
    on_disk = pixels_on_disk(manifest)
    sample = [on_disk[i] for i in (0, 1, 4, 5, 8, 9)]  # two of each four
    np.testing.assert_allclose(manifest.mean, numpy_summary(sample)[0], atol=5.1e-5)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_small_set_is_measured_whole(tmp_path, monkeypatch, shards):
    monkeypatch.setattr(plan, "SHARD_BYTES", sum(p.size for p in pictures(12)) / shards)
    monkeypatch.setattr(plan, "MEASURED_PIXELS", 12 * 16)
    heard = Heard()
    manifest = write(tmp_path / "out", {"train": pictures(12)}, progress=heard)
    np.testing.assert_allclose(
        manifest.mean, numpy_summary([noise(i) for i in range(12)])[0], atol=5.1e-5
    )
    assert "mean and std are taken over all 12 pictures of 'train'" in heard.lines


def test_all_of_cifar_10_is_measured():
    assert plan.MEASURED_PIXELS >= 60_000 * 32 * 32


def test_even_the_smallest_share_of_a_sample_is_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "MEASURED_PIXELS", 1)
    monkeypatch.setattr(plan, "SHARD_BYTES", 1)
    manifest = write(tmp_path / "out", {"train": [picture(noise(0)), picture(noise(1))]})
    np.testing.assert_allclose(manifest.mean, numpy_summary([noise(0), noise(1)])[0], atol=5.1e-5)
