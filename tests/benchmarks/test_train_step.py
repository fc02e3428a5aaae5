"""The parts of the training benchmark that can be told right from wrong without a clock."""

import math

import pytest

from benchmarks import machine, rounds, tables, train_step
from benchmarks.contenders import stepping
from benchmarks.contenders.cases import CASES, Case, ours
from benchmarks.rounds import Contender

CASE = Case(batch=8, size=32, classes=10, macs={"torch": 10**9, "keras": 10**9}, rate=0.1,
            compared=4, warm_up=3, timed=5)  # fmt: skip


class Scripted:
    """A contender whose steps take the given seconds, then one second each; losses count up."""

    def __init__(self, *seconds):
        self.seconds, self.steps, self.calls = list(seconds), 0, []

    def __call__(self, count):
        self.calls.append(count)
        passed = sum(self.seconds.pop(0) if self.seconds else 1.0 for _ in range(count))
        self.steps += count
        return float(self.steps), passed


@pytest.mark.parametrize("seconds, expected", [
    ([], False),
    ([1.0, 1.0], False),
    ([1.0, 1.0, 1.0], True),
    ([1.0, 1.02, 1.01], True),
    ([1.0, 1.021, 1.01], False),
    ([9.0, 1.0, 1.0, 1.01], True),
    ([1.0, 1.0, 1.0, 2.0], False),
])  # fmt: skip
def test_the_speed_is_settled_when_three_steps_agree_within_two_per_cent(seconds, expected):
    assert stepping.settled(seconds) is expected


def test_settled_steps_are_timed_at_once():
    contender = Scripted(9.0, 1.0, 1.0, 1.0)
    figures = stepping.measure(contender, CASE)
    assert contender.calls == [1, 1, 1, 1, 5]
    assert figures["losses"] == [1.0, 2.0, 3.0, 4.0]
    assert (figures["settled"], figures["warm_up_steps"]) == (True, 4)
    assert (figures["step_s"], figures["images_per_second"]) == (1.0, 8.0)
    assert figures["peak_memory_mb"] > 1


def test_warm_up_ends_as_soon_as_three_agree():
    figures = stepping.measure(Scripted(9.0, 3.0, 2.0), CASE)
    # 9, 3, 2, 1 are compared; 1 and 1 more make three.
    assert (figures["settled"], figures["warm_up_steps"]) == (True, 6)


def test_warm_up_is_bounded_and_says_that_nothing_settled():
    figures = stepping.measure(Scripted(9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, *[2.0] * 5), CASE)
    assert (figures["settled"], figures["warm_up_steps"]) == (False, 7)
    assert figures["step_s"] == 2.0


def test_several_steps_a_call_are_compared_warmed_up_and_timed_in_whole_calls():
    contender = Scripted()
    figures = stepping.measure(contender, CASE, steps_a_call=2)
    # 4 steps are compared, then 4 more, where 3 calls agree: and 6 are the first 5 or more.
    assert contender.calls == [2, 2, 2, 2, 6]
    assert figures["losses"] == [2.0, 4.0]
    assert figures["step_s"] == 1.0


OURS = [4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize("theirs, expected", [
    ([4.0, 3.0, 2.0, 1.0], None),
    ([4.00009, 3.009, 1.991, 1.0], None),
    ([4.0002, 3.0, 2.0, 1.0], "loss of step 0 is 4.0002, ours 4"),
    ([4.0, 3.0, 2.011, 1.0], "loss of step 2 is 2.011, ours 2"),
    ([4.0, 3.0, math.nan, 1.0], "loss of step 2 is nan, ours 2"),
    ([3.5, 1.5], None),
    ([3.5, 1.52], "loss of steps 2 on is 1.52, ours 1.5"),
    ([4.0, 3.0, 2.0], "3 losses beside our 4"),
    ([], "0 losses beside our 4"),
])  # fmt: skip
def test_losses_that_are_not_ours_are_told(theirs, expected):
    assert rounds.why_void(OURS, theirs, within=1e-2, first=1e-4) == expected


def figure(speed, *probes, **others):
    return {"images_per_second": speed, "gemm_gflops": list(probes or (100.0, 100.0)), **others}


def test_a_ratio_needs_four_probes_that_agree():
    found = [
        {"a": figure(30.0), "b": figure(10.0)},
        {"a": figure(40.0, 100.0, 105.0), "b": figure(10.0, 105.0, 101.0)},
        {"a": figure(50.0, 100.0, 101.0), "b": figure(10.0, 104.0, 106.0)},
        {"a": figure(60.0), "b": {"failed": "why", "gemm_gflops": [100.0, 100.0]}},
    ]
    assert rounds.ratios(found, "b", "a", drift=0.05) == [3.0, 4.0]
    assert rounds.ratios(found, "b", "a", drift=0.07) == [3.0, 4.0, 5.0]


def cells(table, name):
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


OURS_AND_OTHERS = [
    Contender("train.py", ("train",), "bare"),
    Contender("bare", ("bare",), "bare"),
    Contender("other", ("other",), "bare"),
]


def played(*speeds, losses=(4.0, 3.0), **others):
    """Rounds of the three contenders above, each at its speed."""
    told = {"import_s": 2.0, "build_s": 1.0, "first_call_s": 5.0, "step_s": 0.1,
            "peak_memory_mb": 900.4}  # fmt: skip
    return [
        {
            "train.py": figure(loop),
            "bare": figure(bare, losses=[4.0, 3.0], **told),
            "other": figure(other, losses=list(losses), **told | others),
        }
        for loop, bare, other in speeds
    ]


def test_the_table_has_medians_of_ratios_with_extremes():
    table = tables.make(OURS_AND_OTHERS, played((90, 100, 50), (80, 100, 40), (99, 110, 110)), 0.05)
    assert [line.count("|") for line in table.splitlines()] == [11] * 5
    # Ratios 2, 2.5 and 1, and of the loop 1.8, 2 and 0.9.
    assert cells(table, "other") == [
        "other", "50", "2.00 (1.00–2.50)", "3", "1.80 (0.90–2.00)", "2.0", "1.0", "5.0", "100",
        "900",
    ]  # fmt: skip
    assert cells(table, "bare")[:5] == ["bare", "100", "1.00 (1.00–1.00)", "3", "0.90 (0.80–0.90)"]
    assert cells(table, "train.py") == ["train.py", "90", "1.11 (1.11–1.25)", "3", *[""] * 6]


def test_without_the_loop_nothing_is_held_against_it():
    table = tables.make(OURS_AND_OTHERS[1:], played((90, 3, 2)), 0.05)
    assert cells(table, "other")[:5] == ["other", "2.00", "1.50 (1.50–1.50)", "1", ""]


def test_the_first_call_is_that_of_the_first_round():
    found = played((90, 100, 50), (90, 100, 50), (90, 100, 50))
    for later in found[1:]:
        later["other"]["first_call_s"] = 0.5
    assert cells(tables.make(OURS_AND_OTHERS, found, 0.05), "other")[7] == "5.0"


def test_a_contender_that_computes_something_else_shows_no_speed():
    found = played((90, 100, 50), (90, 100, 50), losses=(4.0, 3.5))
    reason = "void: loss of step 1 is 3.5, ours 3"
    assert cells(tables.make(OURS_AND_OTHERS, found, 0.05), "other") == ["other", reason, *[""] * 8]


def test_one_bad_round_is_enough():
    found = played((90, 100, 50), (90, 100, 50))
    found[1]["other"] = {"failed": "no | compiler", "gemm_gflops": [100.0, 100.0]}
    table = tables.make(OURS_AND_OTHERS, found, 0.05)
    assert cells(table, "other")[1] == "void: no / compiler"


def test_where_every_round_drifted_there_is_no_figure():
    found = played((90, 100, 50))
    found[0]["other"]["gemm_gflops"] = [100.0, 120.0]
    assert cells(tables.make(OURS_AND_OTHERS, found, 0.05), "other")[1:4] == ["", "", "0"]


def test_the_share_of_the_peak_counts_six_operations_a_multiply_add():
    found = [{"bare": figure(10.0)}, {"bare": figure(12.0)}, {"bare": figure(14.0)}]
    # 12 pictures a second of 6e9 operations each.
    line = tables.share("bare", CASE, "torch", found, peak=144.0, drift=0.05)
    assert line == "bare: 72 GFLOP/s, 50% of the GEMM peak."
    assert tables.share("bare", CASE, "torch", [{"bare": figure(1.0, 1.0, 2.0)}], 9.0, 0.05) == ""


TEXT = "before\n<!-- table: a -->\nold\n<!-- end -->\nbetween\n<!-- table: b --><!-- end -->after"


def test_a_table_replaces_the_one_between_its_markers_and_nothing_else():
    once = tables.replace(TEXT, "a", "| new |")
    assert once == TEXT.replace("\nold\n", "\n\n| new |\n\n")
    assert tables.replace(once, "a", "| new |") == once
    assert tables.replace(tables.replace(once, "a", "x"), "a", "| new |") == once
    assert tables.replace(TEXT, "b", "x").endswith("<!-- table: b -->\n\nx\n\n<!-- end -->after")


@pytest.mark.parametrize("text, message", [
    ("nothing", "the text must have <!-- table: a --> once, has it 0 times"),
    (TEXT + TEXT, "the text must have <!-- table: a --> once, has it 2 times"),
    ("<!-- table: a --> old", "<!-- table: a --> must be followed by <!-- end -->"),
    ("<!-- table: a -->" + TEXT[6:].replace("table: a", "table: c"),
     "<!-- table: a --> must be followed by <!-- end -->"),
])  # fmt: skip
def test_a_text_without_its_markers_is_refused(text, message):
    with pytest.raises(ValueError) as error:
        tables.replace(text, "a", "x")
    assert str(error.value) == message


def test_the_readme_has_a_place_for_every_table(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(train_step.README.read_text())
    for network in CASES:
        tables.write(copy, f"train_step {network}", f"the table of {network}")
    assert [copy.read_text().count(f"\nthe table of {network}\n") for network in CASES] == [1, 1, 1]


def test_chosen_contenders_keep_what_they_are_held_against():
    def names(only=(), skip=()):
        return [c.name for c in train_step.select(OURS_AND_OTHERS, list(only), list(skip))]

    assert names() == ["train.py", "bare", "other"]
    assert names(only=["oth"]) == ["bare", "other"]
    assert names(skip=["oth", "train"]) == ["bare"]
    assert names(only=["train", "oth"], skip=["oth"]) == ["train.py", "bare"]


def made(tmp_path, *flags):
    return {c.name: c for c in train_step.make_contenders(train_step.parse(list(flags)), tmp_path)}


def test_every_contender_is_held_against_ours_of_the_same_mathematics(tmp_path):
    contenders = made(tmp_path, "--network=resnet50", "--torch_python=py", "--tcmalloc=t.so")
    assert "train.py" not in contenders
    for name, contender in contenders.items():
        reference = contenders[contender.reference]
        peers = [next(p for p in c.command if "--peer" in p) for c in (contender, reference)]
        assert peers[0] == peers[1] == ("--peer=keras" if "decay" in reference.name else
                                        "--peer=torch"), name  # fmt: skip
    torch = {name: c for name, c in contenders.items() if name.startswith("PyTorch")}
    assert len(torch) == 8
    assert {c.command[0] for c in torch.values()} == {"py"}
    assert {name for name, c in torch.items() if c.environment.get("LD_PRELOAD") == "t.so"} == {
        name for name in torch if name.endswith(", tcmalloc")
    }
    assert {name for name, c in torch.items() if "--compile" in c.command} == {
        name for name in torch if "compiled" in name
    }


def test_peers_that_are_not_there_are_named_below_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(train_step, "TCMALLOC", str(tmp_path / "*.so"))
    assert not any("PyTorch" in name for name in made(tmp_path))
    assert train_step.notes(train_step.parse([]))[0].startswith("PyTorch: not measured")
    torch = [name for name in made(tmp_path, "--torch_python=py") if "PyTorch" in name]
    assert len(torch) == 4
    assert "tcmalloc: not measured" in train_step.notes(train_step.parse(["--torch_python=py"]))[0]
    (tmp_path / "a.so").touch()
    assert len([name for name in made(tmp_path, "--torch_python=py") if "PyTorch" in name]) == 8


def test_a_quick_run_is_not_written(capsys):
    assert train_step.parse(["--quick", "--rounds=7"]).rounds == 1
    with pytest.raises(SystemExit):
        train_step.parse(["--quick", "--write"])
    assert "--quick measures nothing that is worth --write" in capsys.readouterr().err


def test_a_contender_gets_its_own_settings_and_not_those_of_whoever_runs_it(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    monkeypatch.setenv("RESNET_TF_MALLOPT", "0")
    show = "import json, os; print('noise'); print(json.dumps(dict(os.environ)))"
    seen = rounds.run([train_step.sys.executable, "-c", show], RESNET_TF_MALLOPT="7")
    assert "TF_ENABLE_ONEDNN_OPTS" not in seen
    assert seen["RESNET_TF_MALLOPT"] == "7"


def test_contenders_run_forwards_then_backwards_and_one_that_fails_costs_no_other(monkeypatch):
    monkeypatch.setattr(rounds, "gemm_probe", iter(range(100, 200)).__next__)
    good = 'import sys; print(\'{"event": "done", "images_per_second": %s}\' % sys.argv[1])'
    python = train_step.sys.executable
    contenders = [
        Contender("a", (python, "-c", good, "1{round}")),
        Contender("b", (python, "-c", "raise SystemExit('first\\nwhy')")),
    ]
    told = []
    first, second = (
        rounds.run_round(number, contenders, lambda **event: told.append(event["contender"]))
        for number in (0, 1)
    )
    assert told == ["a", "b", "b", "a"]
    assert list(first) == list(second) == ["a", "b"]
    assert first["a"] == {"event": "done", "images_per_second": 10, "gemm_gflops": [100, 101]}
    assert first["b"] == {"failed": "why", "gemm_gflops": [101, 102]}
    assert second["a"]["images_per_second"] == 11
    assert second["a"]["gemm_gflops"] == [104, 105]


def test_the_line_above_a_table_has_machine_and_versions():
    line = machine.describe({"TensorFlow": "9.9"}, [150.0, 170.4], threads=2)
    assert f"{machine.cores()} cores, 2 threads; GEMM peak 170 GFLOP/s (least 150)" in line
    assert line.endswith("TensorFlow 9.9.")


def bottleneck_macs(network_size, stride_first):
    """ResNet-50's multiply-adds, convolution by convolution."""
    total = 3 * 64 * 49 * (network_size // 2) ** 2 + 2048 * 1000
    size, inputs = network_size // 4, 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inside, size = (size // stride if stride_first else size), size // stride
            total += inputs * inner * inside**2 + 9 * inner * inner * size**2
            total += inner * 4 * inner * size**2
            if not block:
                total += inputs * 4 * inner * size**2
            inputs = 4 * inner
    return total


def test_multiply_adds_by_hand():
    stem, stage, half = 27 * 16 * 1024, 9 * 16 * 16 * 1024, 9 * 16 * 32 * 256
    for network, n in (("cifar_resnet20", 3), ("cifar_resnet32", 5)):
        # A convolution of stage 2 or 3 costs what one of stage 1 does, the first of them half.
        macs = stem + 2 * n * stage + 2 * (half + (2 * n - 1) * stage) + 640
        assert CASES[network].macs == {"torch": macs, "keras": macs}
    assert CASES["resnet50"].macs == {
        "torch": bottleneck_macs(224, stride_first=False),
        "keras": bottleneck_macs(224, stride_first=True),
    }


def test_only_beside_pytorch_kernels_decay():
    assert ours("resnet50", "torch") == ("resnet50", {}, 1e-4)
    name, options, decay = ours("resnet50", "keras")
    assert (name, options["use_bias"], decay) == ("resnet50_v1", True, 0.0)
    assert ours("cifar_resnet32", "keras") == ("cifar_resnet32", {}, 0.0)
