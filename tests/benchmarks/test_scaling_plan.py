"""The tables of docs/scaling.md: as the script prints them, and their arithmetic by hand."""

import pytest

from benchmarks import scaling_plan, tables
from benchmarks.scaling_plan import Link, Network


def test_the_page_has_what_the_script_prints():
    page = scaling_plan.PAGE.read_text()
    assert tables.replace(page, scaling_plan.NAME, scaling_plan.tables()) == page


def test_bytes_and_multiply_adds_of_a_network():
    """ResNet-50's literature: 25,557,032 parameters, 4.09 billion multiply-adds; and channels.

    Batch norms: the stem's 64; stages of 3, 4, 6, 3 blocks with widths w twice and 4w, and once
    4w for the projection; a mean and a variance for each channel.
    """
    found = scaling_plan.network("resnet50")
    channels = 64 + sum(
        blocks * 6 * width + 4 * width for blocks, width in zip((3, 4, 6, 3), (64, 128, 256, 512))
    )
    assert found.trained == 25_557_032 and found.statistics == 2 * channels == 53_120
    assert found.bytes == 4 * (25_557_032 + 53_120 + 2)
    assert found.macs / 1e9 == pytest.approx(4.09, abs=0.005)


def test_the_time_of_a_ring_by_hand():
    """10 GB/s reach 8: 2 · 7 / 8 · 80 MB take 17.5 ms; 14 hops of 10 µs and 8.4 µs beside it."""
    link = Link("", 10e9, 10e-6, "")
    assert scaling_plan.all_reduce(80_000_000, 8, link) == pytest.approx(17.5e-3 + 148.4e-6)


def test_the_time_over_several_hosts_by_hand():
    """Large: the ring, 2 hosts of 8, with 28 hops inside and 2 between; small: the tree."""
    link = Link("", 10e9, 10e-6, "")
    ring = 2 * 15 / 16 * 8e9 / 8e9 + 1.9 * (8.4e-6 + 28 * 10e-6 + 2 * 9.6e-6)
    assert scaling_plan.all_reduce(8_000_000_000, 16, link) == pytest.approx(ring)
    tree = 2 * 72 / 7.2e9 + 2 * (7 * 28e-6 + 50e-6)
    assert scaling_plan.all_reduce(72, 16, link) == pytest.approx(tree)


def test_the_rates_of_pcie_and_the_efficiency_by_hand():
    pcie4, pcie5 = (link.rate for link in scaling_plan.IN_HOST[:2])
    assert pcie5 == 2 * pcie4 == pytest.approx(63.0e9, rel=1e-3)
    assert scaling_plan.efficiency(0.1, 0.024) == pytest.approx(0.1 / 0.125)
    assert Network("", 20, 3, 0).bytes == 100
