import gzip
import json
import pathlib
import time

import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from resnet_tf.errors import UserError
from resnet_tf.training import trace
from resnet_tf.training.profile import Profile, Profiler, table
from resnet_tf.training.trace import OpTime


@tf.function
def steps(count, matrix, image, kernel):
    """Three products of 512x512 (0.27 GFLOP each) and two tiny convolutions (18 kFLOP) a step."""
    for _ in tf.range(count):
        for _ in range(3):
            matrix = tf.linalg.matmul(matrix, matrix)
        for _ in range(2):
            image = tf.nn.conv2d(image, kernel, 1, "SAME")
    return matrix, image


def run(count):
    with tf.device("/cpu:0"):
        out = steps(tf.constant(count), tf.eye(512), tf.ones([1, 8, 8, 4]), tf.ones([3, 3, 4, 4]))
    return [x.numpy() for x in out]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A profile of steps 11 to 20, run in calls of 4 and 6, and its seconds."""
    run(1)
    profiler = Profiler(tmp_path_factory.mktemp("run") / "profile", 10, 20)
    begin = time.perf_counter()
    profiler.begin_at(10)
    run(4)
    assert profiler.end_at(14) is None
    profiler.begin_at(14)
    run(6)
    return profiler.end_at(20), time.perf_counter() - begin


def of_kind(profile, kind):
    """The row of an op; oneDNN has names of its own, such as _MklNativeConv2D."""
    [row] = [op for op in profile.ops if op.type.endswith(kind)]
    return row


def slices(profile):
    """The events of the trace that Perfetto opens."""
    with gzip.open(profile.perfetto, "rt") as file:
        return [event for event in json.load(file)["traceEvents"] if event["ph"] == "X"]


@pytest.mark.parametrize("kind, calls", [("MatMul", 3), ("Conv2D", 2)])
def test_calls_a_step_are_counted_exactly(recorded, kind, calls):
    assert of_kind(recorded[0], kind).calls == calls


def test_the_costly_op_comes_first_and_shares_sum_to_one(recorded):
    profile, _ = recorded
    assert profile.ops[0] == of_kind(profile, "MatMul")
    assert profile.ops[0].share > of_kind(profile, "Conv2D").share > 0
    assert sum(op.share for op in profile.ops) == pytest.approx(1)
    assert [op.ms for op in profile.ops] == sorted((op.ms for op in profile.ops), reverse=True)


def test_an_example_names_a_node_of_the_graph(recorded):
    assert "MatMul" in of_kind(recorded[0], "MatMul").example
    assert "Conv2D" in of_kind(recorded[0], "Conv2D").example


def test_no_time_is_counted_twice(recorded):
    profile, seconds = recorded
    threads = {event["tid"] for event in slices(profile) if "args" in event}
    assert 0 < sum(op.ms for op in profile.ops) * 10 <= len(threads) * seconds * 1000


def test_what_encloses_ops_is_no_op(recorded):
    names = {event["name"] for event in slices(recorded[0])}
    assert any(name.startswith("ExecutorState::Process") for name in names)
    assert not [op.type for op in recorded[0].ops if "::" in op.type or "inference" in op.type]


@pytest.mark.parametrize("kind", ["MatMul", "Conv2D"])
def test_the_trace_for_perfetto_has_the_same_executions(recorded, kind):
    row = of_kind(recorded[0], kind)
    found = [event for event in slices(recorded[0]) if event["name"] == row.type]
    assert len(found) == row.calls * 10
    assert sum(event["dur"] for event in found) / 1000 / 10 == pytest.approx(row.ms)
    assert row.example in {event["args"]["node"] for event in found}


def test_files_lie_where_tensorboard_looks(recorded):
    profile, _ = recorded
    assert (profile.first, profile.last) == (10, 20)
    assert profile.xplane.name.endswith(".xplane.pb") and profile.xplane.is_file()
    assert profile.xplane.parents[1].parts[-2:] == ("plugins", "profile")
    assert profile.perfetto.parent == profile.xplane.parent


# Made by hand: what the profiler of another machine may record.


def plane(name, lines, tf_ops=None):
    """An XPlane; a line is name -> [(event, start in us, duration in us)], which begins at 5 us."""
    made = xplane_pb2.XPlane(name=name)
    made.stat_metadata[1].name = "tf_op"
    numbers = {}
    for line_name, events in lines.items():
        line = made.lines.add(name=line_name, timestamp_ns=5000)
        for event_name, start, duration in events:
            number = numbers.setdefault(event_name, len(numbers) + 1)
            made.event_metadata[number].name = event_name
            event = line.events.add(
                metadata_id=number, offset_ps=start * 10**6, duration_ps=duration * 10**6
            )
            if op := (tf_ops or {}).get(event_name):
                made.stat_metadata[100 + number].name = op
                event.stats.add(metadata_id=1, ref_value=100 + number)
    return made


HOST = {
    "pool/1": [
        ("ExecutorState::Process", 0, 1000),
        ("a/map:PartitionedCall", 100, 500),
        ("a/MatMul:MatMul", 150, 100),
        ("b/MatMul:MatMul", 300, 200),
        ("a/inner:PartitionedCall", 320, 50),
        ("c/Relu:Relu", 600, 50),
        ("Iterator::Prefetch::Map", 700, 200),
        ("EagerLocalExecute: MatMul", 900, 50),
    ],
    "pool/2": [("b/MatMul:MatMul", 300, 300), ("ThreadpoolListener::Record", 650, 0)],
}


def test_an_op_inside_another_is_taken_from_it_and_other_threads_are_not():
    space = xplane_pb2.XSpace(planes=[plane("/host:CPU", HOST)])
    # MatMul 100 + (200 - 50) + 300; PartitionedCall (500 - 100 - 200) + 50; Relu 50: 850 in all.
    assert trace.op_times(space, steps=2) == [
        OpTime("MatMul", "b/MatMul", calls=1.5, ms=0.275, share=550 / 850),
        OpTime("PartitionedCall", "a/map", calls=1.0, ms=0.125, share=250 / 850),
        OpTime("Relu", "c/Relu", calls=0.5, ms=0.025, share=50 / 850),
    ]


def test_streams_of_gpus_are_counted_where_there_are_any():
    kernels = [("sgemm_128", 0, 30), ("sgemm_128", 40, 30), ("MemcpyH2D", 80, 20)]
    ops = {"sgemm_128": "a/MatMul:MatMul"}
    summary = {"TensorFlow Ops": [("a/MatMul", 0, 70)]}
    gpus = [
        plane("/device:GPU:0", {"Stream #7(Compute)": kernels, **summary}, ops),
        plane("/device:GPU:1", {"Stream #9(Compute)": [("fusion_3", 0, 20)]}, {"fusion_3": "xla"}),
    ]
    space = xplane_pb2.XSpace(planes=[plane("/host:CPU", HOST), *gpus])
    assert trace.op_times(space, steps=1) == [
        OpTime("MatMul", "a/MatMul", calls=2, ms=0.06, share=0.6),
        OpTime("MemcpyH2D", "MemcpyH2D", calls=1, ms=0.02, share=0.2),
        OpTime("fusion_3", "xla", calls=1, ms=0.02, share=0.2),
    ]


def test_nothing_recorded_gives_no_rows():
    assert trace.op_times(xplane_pb2.XSpace(), steps=1) == []


def test_a_trace_is_a_process_a_plane_and_a_thread_a_line(tmp_path):
    gpu = plane("/device:GPU:0", {"Stream #7": [("kernel", 7, 2)]})
    empty = plane("Task Environment", {})
    space = xplane_pb2.XSpace(planes=[plane("/host:CPU", HOST), empty, gpu])
    trace.write_chrome_trace(space, tmp_path / "trace.json.gz")
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        events = json.load(file)["traceEvents"]
    named = {(e["pid"], e.get("tid")): e["args"]["name"] for e in events if e["ph"] == "M"}
    assert named == {
        (1, None): "/host:CPU",
        (1, 1): "pool/1",
        (1, 2): "pool/2",
        (2, None): "/device:GPU:0",
        (2, 1): "Stream #7",
    }
    of_second = [e for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == (1, 2)]
    node = {"node": "b/MatMul"}
    made = {"ph": "X", "name": "MatMul", "ts": 305, "dur": 300, "args": node, "pid": 1, "tid": 2}
    assert of_second == [made]
    assert events[-1] == {"ph": "X", "name": "kernel", "ts": 12, "dur": 2, "pid": 2, "tid": 1}


# When to record.


@pytest.mark.parametrize(
    "step, stop", [(0, 10), (9, 10), (10, 20), (15, 20), (20, None), (25, None)]
)
def test_calls_end_where_recording_begins_and_ends(step, stop):
    assert Profiler(pathlib.Path("unused"), 10, 20).next_stop(step) == stop


def test_recording_is_made_once(tmp_path):
    profiler = Profiler(tmp_path, 1, 2)
    profiler.begin_at(0)
    assert profiler.end_at(1) is None and not any(tmp_path.iterdir())
    profiler.begin_at(1)
    assert isinstance(profiler.end_at(2), Profile)
    for step in (1, 2, 3):
        profiler.begin_at(step)
        assert profiler.end_at(step) is None
    profiler.close()
    assert len(list(tmp_path.glob("plugins/profile/*"))) == 1


def test_a_run_resumed_between_records_what_is_left(tmp_path):
    profiler = Profiler(tmp_path, 10, 20)
    profiler.begin_at(16)
    run(4)
    profile = profiler.end_at(20)
    assert (profile.first, profile.last) == (16, 20)
    assert of_kind(profile, "MatMul").calls == 3


def test_a_run_resumed_behind_records_nothing_and_says_so_once(tmp_path):
    said = []
    profiler = Profiler(tmp_path / "profile", 10, 20, said.append)
    for step in (20, 30):
        profiler.begin_at(step)
        assert profiler.end_at(step) is None
    profiler.close()
    assert not (tmp_path / "profile").exists()
    assert said == ["no profile of steps 10 to 20: they are done already"]


def test_a_run_that_ends_before_keeps_nothing_and_frees_the_profiler(tmp_path):
    said = []
    aborted = Profiler(tmp_path / "aborted", 1, 9, said.append)
    aborted.begin_at(1)
    aborted.close()
    aborted.close()
    assert not any((tmp_path / "aborted").iterdir())
    following = Profiler(tmp_path / "following", 1, 2, said.append)
    following.begin_at(1)
    assert following.end_at(2) and said == []


def test_recording_that_became_useless_is_given_up_and_said_once(tmp_path):
    said = []
    profiler = Profiler(tmp_path, 1, 9, said.append)
    profiler.give_up("too early")
    profiler.begin_at(1)
    profiler.give_up("steps are made again")
    profiler.give_up("steps are made again")
    profiler.begin_at(1)
    assert profiler.end_at(9) is None and not any(tmp_path.iterdir())
    assert said == ["no profile of steps 1 to 9: steps are made again"]


def test_steps_beyond_the_run_are_refused():
    profiler = Profiler(pathlib.Path("unused"), 10, 20)
    profiler.refuse_beyond(20)
    with pytest.raises(UserError, match=r"ERROR 64: profile_steps must end by step 19, .* got 20 "):
        profiler.refuse_beyond(19)


# What the profiler cannot do.


def test_a_directory_that_cannot_be_made_is_said_once_and_the_run_goes_on(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    profiler = Profiler(tmp_path / "file" / "profile", 10, 20)
    for step in (10, 15, 20, 25):
        profiler.begin_at(step)
        assert profiler.end_at(step) is None
    profiler.close()
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith("no profile of steps 10 to 20: ") and "Not a directory" in line
    assert captured.out == ""


def test_a_profiler_that_runs_already_is_said(tmp_path):
    said = []
    first, second = (Profiler(tmp_path / name, 1, 2, said.append) for name in "ab")
    first.begin_at(1)
    second.begin_at(1)
    assert said == ["no profile of steps 1 to 2: Another profiler is running."]
    assert second.end_at(2) is None and first.end_at(2) is not None


def test_a_directory_lost_meanwhile_is_said(tmp_path):
    said = []
    profiler = Profiler(tmp_path / "profile", 1, 2, said.append)
    profiler.begin_at(1)
    (tmp_path / "profile").rmdir()
    (tmp_path / "profile").write_text("in the way")
    assert profiler.end_at(2) is None and profiler.end_at(3) is None
    [line] = said
    assert "not a directory" in line


def test_a_profiler_stopped_by_others_is_said(tmp_path):
    said = []
    profiler = Profiler(tmp_path, 1, 9, said.append)
    profiler.begin_at(1)
    tf.profiler.experimental.stop(save=False)
    profiler.close()
    assert said == [
        "no profile of steps 1 to 9: Cannot export profiling results. No profiler is running."
    ]


# What people read.


def test_the_table_has_the_costliest_ops():
    ops = [
        OpTime("Conv2D", "block/Conv2D", 1200, 81.25, 0.65),
        OpTime("Relu", "Relu_1", 2, 40, 0.32),
    ]
    ops += [OpTime(f"Op{i}", f"node{i}", 0.1, 0.0004, 0.0001) for i in range(10)]
    profile = Profile(10, 20, pathlib.Path("x"), pathlib.Path("p"), ops)
    assert table(profile).splitlines() == [
        "  op      calls a step  ms a step  share  for example",
        "  Conv2D  1,200.0       81.250     65.0%  block/Conv2D",
        "  Relu    2.0           40.000     32.0%  Relu_1",
        *(f"  Op{i}     0.1           0.000      0.0%   node{i}" for i in range(8)),
        "  … and 2 more",
    ]
    assert len(table(profile, most=1).splitlines()) == 3
