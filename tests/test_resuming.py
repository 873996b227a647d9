"""Runs that are stopped, killed, or meet a full disk go on as if nothing was."""

import contextlib
import errno
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import files, training, weights
from dsod_d2l.workbench.runs import checkpoints, long_run
from dsod_d2l.workbench.cli import main
from dsod_d2l.datasets.records import write_records
from dsod_d2l.workbench.runs import run_folder as folders
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l import models
from dsod_d2l.workbench.runs.tuning import Tuning
from small_runs import SMALL, Squares, ending, network, settings, train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(folders, "history_picture", lambda _: b"picture")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "history_picture", lambda _: b"picture")
        train(folder)
    return ending(folder)


# ---- killed while files are written ------------------------------------------

class Killed(BaseException):
    """Stands for SIGKILL: from then on no file is touched."""


@pytest.fixture
def killing(monkeypatch):
    """Return arm(n): the n-th file operation is never done, nor any after."""
    state = {"left": None, "names": []}

    def watch(module, name, real):
        def fake(*given, **more):
            state["names"].append(name)
            if state["left"] is not None:
                state["left"] -= 1
                if state["left"] < 0:
                    raise Killed
            return real(*given, **more)
        monkeypatch.setattr(module, name, fake, raising=False)

    for name in ("fsync", "replace"):
        watch(files.os, name, getattr(os, name))
    watch(files, "open", open)
    watch(Path, "unlink", Path.unlink)

    def arm(count):
        state["left"], state["names"] = count, []
        return state["names"]
    return arm


@pytest.mark.slow
def test_killed_at_any_file_operation_a_run_ends_the_same(tmp_path, whole,
                                                          killing):
    """Each operation in turn; resumed once, it ends as if never killed."""
    operations = killing(None)
    train(tmp_path / "all")
    assert ending(tmp_path / "all") == whole
    assert {"open", "fsync", "replace", "unlink"} == set(operations)
    # Four to a file (open, fsync, replace, fsync of its folder): seven on is
    # another one of them.
    for number in range(0, len(operations), 7):
        folder = tmp_path / str(number)
        killing(number)
        with pytest.raises(Killed):
            train(folder)
        killing(None)
        there = (folder / "run.json").exists()
        if not there:
            with pytest.raises(ValueError, match="leave out --resume"):
                train(folder, resume=True)
        train(folder, resume=there)
        assert ending(folder) == whole, f"{number}: {operations[number]}"
        assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize("changes", [
    dict(optimiser="sgd", learning_rate=0.02, workers=1),
    dict(accumulate=2, workers=1, keep_checkpoints=1),
    dict(held_back=0.0, schedule="multistep", classification="focal")])
def test_a_run_killed_between_steps_ends_the_same(tmp_path, changes):
    train(tmp_path / "whole", **changes)

    def kill(row):
        if row["step"] == 3:
            raise Killed
    with pytest.raises(Killed):
        train(tmp_path / "killed", callbacks=[kill], **changes)
    steps = [row["step"] for row in train(tmp_path / "killed", resume=True,
                                          **changes).history]
    assert steps == [1, 2, 3, 4, 5]
    assert ending(tmp_path / "killed") == ending(tmp_path / "whole")


def test_chance_is_the_same_after_a_stop(tmp_path):
    """MXNet's own generator: what a layer such as dropout draws."""
    seen = {"whole": [], "again": []}

    def draw(name):
        return lambda row: seen[name].append(
            (row["step"], mx.nd.random.uniform(shape=3).asnumpy().tolist()))
    train(tmp_path, callbacks=[draw("whole")])
    checkpoints.list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    train(tmp_path, resume=True, callbacks=[draw("again")])
    assert seen["again"] == seen["whole"][-1:] and seen["again"][0][0] == 5


def test_a_run_that_has_ended_may_be_resumed_without_harm(tmp_path, whole):
    train(tmp_path)
    for name in ("model.safetensors", "history.json", "best.safetensors"):
        (tmp_path / name).unlink()       # killed right after the checkpoint
    train(tmp_path, resume=True)
    assert ending(tmp_path) == whole
    assert len(json.loads((tmp_path / "history.json").read_text())) == 5


def test_the_best_model_is_that_of_the_checkpoint(tmp_path, whole):
    """A newer best.safetensors, or a lost one, changes nothing."""
    train(tmp_path)
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    found[-1].unlink()
    tensors, facts = weights.load_tensors(tmp_path / "best.safetensors")
    facts["best"] = {"step": 5, "AP": 1.0, "AP50": 1.0}
    weights.save_tensors(
        tmp_path / "best.safetensors",
        {name: array + 1 for name, array in tensors.items()}, facts)
    train(tmp_path, resume=True)
    assert ending(tmp_path) == whole


def test_gradients_of_an_earlier_run_are_forgotten(tmp_path):
    """One that broke off between two passes, and one that accumulated."""
    class Breaking(Squares):
        def __getitem__(self, index):
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked > 3:       # one was looked at for an object
                raise ValueError("broken")
            return super().__getitem__(index)

    plan = dict(accumulate=2, held_back=0.0, average=0.0)
    net = network()
    with pytest.raises(ValueError, match="broken"):
        run_training(net, Breaking(), settings(**plan), progress=False)
    train(tmp_path / "a", **plan)
    start = network()
    training.Run(start, Squares(), settings(**plan)).begin()
    weights.fill(net, weights.parameter_arrays(start))
    train(tmp_path / "b", net=net, **plan)
    assert ending(tmp_path / "a") == ending(tmp_path / "b")
    weights.fill(net, weights.parameter_arrays(start))
    train(tmp_path / "c", net=net, held_back=0.0, average=0.0)
    train(tmp_path / "d", held_back=0.0, average=0.0)
    assert ending(tmp_path / "c") == ending(tmp_path / "d")


# ---- damage, and a full disk ---------------------------------------------------

def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, whole,
                                                          caplog):
    train(tmp_path)
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    damage(found[-1])
    with caplog.at_level(logging.WARNING):
        train(tmp_path, resume=True)
    assert re.search(r"step-0000005.safetensors is damaged: .*checksum.*; the "
                     r"run goes on from step-0000004", caplog.text)
    assert ending(tmp_path) == whole


def test_nothing_but_damaged_checkpoints_is_one_error(tmp_path):
    train(tmp_path)
    for path in checkpoints.list_checkpoints(tmp_path / "checkpoints"):
        damage(path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")
              if path.is_file()}
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read: "
                       r".*step-0000005.*damaged.*step-0000004.*damaged"):
        train(tmp_path, resume=True)
    assert before == {path: path.read_bytes() for path in before}


@contextlib.contextmanager
def full_disk(pattern):
    """Let no file be written whose name fits."""
    real = files.os.replace

    def replace(source, target):
        if re.search(pattern, str(target)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", replace)
        yield


def test_a_disk_that_is_full_for_a_while_is_a_warning(tmp_path, whole,
                                                      caplog):
    with full_disk("step-0000002|best"), caplog.at_level(logging.WARNING):
        train(tmp_path)
    assert "step-0000002.safetensors was not written (No space left" \
        in caplog.text and "Training goes on" in caplog.text
    assert not (tmp_path / "best.safetensors").exists()
    found = ending(tmp_path)
    assert found == {name: whole[name] for name in found}


def test_a_disk_that_stays_full_loses_no_checkpoint(tmp_path, whole):
    with full_disk("step-0000004|step-0000005|model"):
        with pytest.raises(OSError, match="step-0000005.*No space left"):
            train(tmp_path)
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    assert [path.name for path in found] == ["step-0000002.safetensors"]
    train(tmp_path, resume=True)
    assert ending(tmp_path) == whole


# ---- one folder, one run -------------------------------------------------------

def test_a_new_run_never_overwrites_an_earlier_one(tmp_path):
    train(tmp_path)
    before = ending(tmp_path)
    with pytest.raises(ValueError, match=r"holds a run already \(checkpoints/"
                       r"step-0000005.safetensors\): go on with it by "
                       "--resume .*or name another folder"):
        train(tmp_path, steps=9)
    assert ending(tmp_path) == before


def test_a_run_without_a_checkpoint_starts_again(tmp_path, whole, caplog):
    def kill(row):
        raise Killed
    with pytest.raises(Killed):
        train(tmp_path, callbacks=[kill])
    with pytest.raises(ValueError, match="other settings"):
        train(tmp_path, resume=True, seed=9)
    with caplog.at_level(logging.WARNING):
        train(tmp_path, resume=True)
    assert "no checkpoint yet: the run starts from its beginning" \
        in caplog.text
    assert ending(tmp_path) == whole


@pytest.mark.parametrize("changes, found", [
    (dict(seed=1), r"settings \(seed: 0 there, 1 here\)"),
    (dict(evaluate_every=2.0, weight_decay=0.0), r"settings \(evaluate_every: "
     r"1.0 there, 2.0 here; weight_decay: 0.0005 there, 0.0 here\)"),
    (dict(freeze="stem"), r'settings \(freeze: \[\] there, \["stem"\] here\)'),
    (dict(watch="AP50"), r'settings \(watch: "AP" there, "AP50" here\)'),
    (dict(input_size=(80, 96)), r"network \(input_size: \[65, 80\] there, "
     r"\[80, 96\] here\)"),
    (dict(count=7), r"images \(train: 6 there, 5 here\)")])
def test_resuming_another_run_is_refused(tmp_path, changes, found):
    """All that differs and changes a number is named, and nothing else."""
    train(tmp_path)
    data, changes = Squares(changes.pop("count", 8)), dict(changes)
    tuned = {name: changes.pop(name) for name in ("freeze", "watch")
             if name in changes}
    net = models.build("dsod_tiny", **{**SMALL, **{
        name: changes.pop(name) for name in ["input_size"]
        if name in changes}})
    with pytest.raises(ValueError, match=f"a run with other {found}: resume "
                       "with what stands there"):
        run_training(net, data, settings(workers=1, **changes), tmp_path,
                     True, tuning=Tuning(**tuned))


def test_what_changes_no_number_may_differ(tmp_path, whole):
    def kill(row):
        if row["step"] == 3:
            raise Killed
    with pytest.raises(Killed):
        train(tmp_path, callbacks=[kill])
    train(tmp_path, resume=True, workers=2, checkpoint_every=1,
          keep_checkpoints=9)
    found = ending(tmp_path)
    assert found["step-0000005.safetensors"] == whole[
        "step-0000005.safetensors"] and "step-0000003.safetensors" in found
    assert found["model.safetensors"] == whole["model.safetensors"]


def test_a_run_from_before_a_field_was_there_goes_on(tmp_path, whole):
    train(tmp_path)
    path = checkpoints.list_checkpoints(tmp_path / "checkpoints")[0]
    checkpoints.list_checkpoints(tmp_path / "checkpoints")[1].unlink()
    tensors, facts = weights.load_tensors(path)
    stored = json.loads(tensors["facts"].tobytes())
    del stored["tuning"], stored["train"]["sync_norm"]
    tensors["facts"] = np.frombuffer(json.dumps(stored).encode(), np.uint8)
    weights.save_tensors(path, tensors, facts)
    train(tmp_path, resume=True)
    assert ending(tmp_path)["model.safetensors"] == whole["model.safetensors"]


@pytest.mark.parametrize("changes", [
    dict(schedule="constant", held_back=0.0),
    dict(schedule="constant", average=0.0, evaluate_every=0.5)])
def test_more_steps_go_on_where_the_run_has_ended(tmp_path, caplog, changes):
    """At a constant rate it is the run that had so many from the start."""
    train(tmp_path / "long", steps=9, **changes)
    train(tmp_path / "more", **changes)
    with caplog.at_level(logging.WARNING):
        train(tmp_path / "more", resume=True, steps=9, **changes)
    assert "The run has 9 steps now instead of 5; from step 5 on the " \
        "learning rate is that of a schedule of 9" in caplog.text
    one, other = ending(tmp_path / "long"), ending(tmp_path / "more")
    assert [row["loss"] for row in one["history"]] == [
        row["loss"] for row in other["history"]]
    last = "step-0000009.safetensors"
    for name in one[last][1]:
        assert name.startswith("best/") or (
            one[last][1][name] == other[last][1][name]), name


def test_the_rates_after_more_steps_are_those_of_the_new_schedule(tmp_path):
    first = train(tmp_path, warmup=0).history.column("rate")[1]
    both = train(tmp_path, warmup=0, resume=True, steps=8)
    rates = both.history.column("rate")[1]
    assert rates[:5] == first and [row["step"] for row in both.history] == [
        *range(1, 9)]
    assert rates[5:] == pytest.approx([
        3e-3 * (1 + np.cos(np.pi * step / 8)) / 2 for step in (5, 6, 7)])
    assert weights.load_model(tmp_path / "model.safetensors")


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    train(tmp_path)
    before = ending(tmp_path)
    with pytest.raises(ValueError, match=r"has done 5 steps, and is to have 4"
                       r": .*\(--steps\), .*\(--from-step\)"):
        train(tmp_path, resume=True, steps=4)
    assert ending(tmp_path) == before


def test_a_run_goes_on_from_an_older_checkpoint(tmp_path, whole):
    """The newer ones, which lead elsewhere, are gone when it has passed."""
    train(tmp_path, keep_checkpoints=9)
    path = tmp_path / "checkpoints/step-0000005.safetensors"
    path.write_bytes(b"not what it was")
    with pytest.raises(ValueError, match=r"no checkpoint of step 3 in .*, "
                       r"there are those of: 2, 4, 5 \(--keep-checkpoints"):
        train(tmp_path, from_step=3)
    fitted = train(tmp_path, from_step=2)
    assert [row["step"] for row in fitted.history] == [1, 2, 3, 4, 5]
    assert ending(tmp_path) == whole
    facts = json.loads((tmp_path / "run.json").read_text())
    assert [start["step"] for start in facts["starts"]] == [0, 2]


def test_resuming_nothing_makes_no_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no run in .*nowhere"):
        train(tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="name its folder"):
        train(None, resume=True)


def test_a_folder_is_held_once_and_freed(tmp_path):
    with folders.hold(tmp_path, False):
        with pytest.raises(ValueError, match=f"another run, process "
                           f"{os.getpid()}, is training in {tmp_path}: "):
            train(tmp_path)
    with folders.hold(tmp_path, False):
        pass


def test_a_child_that_lives_on_does_not_hold_the_folder(tmp_path):
    with folders.hold(tmp_path, False):
        heard, said = os.pipe()
        child = os.fork()
        if not child:
            os.write(said, b"!")
            time.sleep(30)
            os._exit(0)
        os.read(heard, 1)
    try:
        with folders.hold(tmp_path, False):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        os.close(said)


def test_a_folder_that_cannot_be_locked_is_a_warning(tmp_path, monkeypatch,
                                                     caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), folders.hold(tmp_path, False):
        pass
    assert "cannot be locked (No locks available)" in caplog.text


def test_the_folder_says_what_was_run_with_what(tmp_path):
    def kill(row):
        if row["step"] == 3:
            raise Killed
    with pytest.raises(Killed):
        train(tmp_path, callbacks=[kill])
    train(tmp_path, resume=True)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["model"]["name"] == "dsod_tiny"
    assert facts["train"]["steps"] == 5 and facts["classes"] == ["square"]
    assert facts["images"] == {"train": 6, "held back": 2}
    assert [start["step"] for start in facts["starts"]] == [0, 2]
    for start in facts["starts"]:
        assert start["command"] == shlex.join(sys.orig_argv)
        assert {"dsod_d2l", "python", "platform", "numpy", "mxnet",
                "threads"} <= set(start["versions"])


# ---- Ctrl-C and SIGTERM --------------------------------------------------------

def sending(number, at=3, times=1):
    """Return a callback that sends this process a signal."""
    def send(row):
        if row["step"] == at:
            for _ in range(times):
                os.kill(os.getpid(), number)
                time.sleep(0.01)
    return send


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_finish_and_saves(tmp_path, whole, number):
    usual = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt,
                       match="stopped after step 3 of 5, saved in .*; "
                       "resume=True goes on from there") as caught:
        train(tmp_path, callbacks=[sending(number)])
    assert caught.value.signum == number and caught.value.resumable
    assert signal.getsignal(number) is usual
    assert (tmp_path / "checkpoints/step-0000003.safetensors").exists()
    train(tmp_path, resume=True)
    found = ending(tmp_path)
    for name in set(whole) - {"step-0000004.safetensors"}:
        assert found[name] == whole[name]


def test_a_second_signal_stops_at_once(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, callbacks=[sending(signal.SIGINT, times=2)])
    assert not isinstance(caught.value, long_run.Stopped)
    names = [path.name for path in
             checkpoints.list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-0000002.safetensors"]
    train(tmp_path, resume=True)
    assert ending(tmp_path) == whole


def test_a_signal_in_the_last_step_leaves_a_complete_run(tmp_path, whole):
    with pytest.raises(long_run.Stopped, match="step 5 of 5: the run is "
                                               "complete"):
        train(tmp_path, callbacks=[sending(signal.SIGINT, at=5)])
    assert ending(tmp_path) == whole


def test_without_a_folder_a_signal_only_stops():
    net = network()
    with pytest.raises(long_run.Stopped, match="nothing is saved"):
        train(None, net=net, callbacks=[sending(signal.SIGINT)])


def test_a_programs_own_handlers_are_left_alone(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        train(tmp_path, callbacks=[sending(signal.SIGTERM)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]


def test_a_run_in_another_thread_hears_no_signals(tmp_path):
    done = []
    thread = threading.Thread(
        target=lambda: done.append(train(tmp_path).history[-1]["step"]))
    thread.start()
    thread.join()
    assert done == [5]


# ---- the command line, from outside ---------------------------------------------

@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Return the path of a small record file."""
    path = tmp_path_factory.mktemp("records") / "squares.rec"
    samples = Squares().samples
    write_records(path, [(sample.boxes, sample.labels, cv2.imencode(
        ".png", sample.image)[1].tobytes()) for sample in samples])
    return path


@pytest.fixture
def start(records, tmp_path):
    """Return start(command): a process that trains, at its first checkpoint."""
    begun = []

    def begin(*words):
        words = words or (
            sys.executable, "-m", "dsod_d2l", "train", "--data",
            f"rec:{records}", "--out", str(tmp_path / "run"), "--steps",
            "9999", "--batch-size", "1", "--checkpoint-every", "1",
            "--workers", "2", "--json")
        process = subprocess.Popen(
            words, cwd=ROOT, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begun.append(process)
        before = set((tmp_path / "run/checkpoints").glob("step-*s"))
        while set((tmp_path / "run/checkpoints").glob("step-*s")) <= before:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        return process
    yield begin
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def gone(process, seconds=5):
    """Say whether all processes of a group are gone soon."""
    for _ in range(seconds * 100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_the_command_says_how_to_go_on(start, tmp_path):
    """SIGTERM and then Ctrl-C, each to the whole group of processes."""
    one = start()
    os.killpg(one.pid, signal.SIGTERM)
    out, err = one.communicate(timeout=120)
    assert one.returncode == 143 and gone(one)
    assert out == "" and "Traceback" not in err
    assert err.count("This step is still finished") == 1   # not by workers
    found = re.search(r"^train: stopped after step (\d+) of 9999, saved in "
                      r"(\S+); go on with: (.*)$", err, re.M)
    assert found[2] == str(tmp_path / "run")
    two = start(*shlex.split(found[3]))
    os.killpg(two.pid, signal.SIGINT)
    _, err = two.communicate(timeout=120)
    assert two.returncode == 130 and gone(two) and "Traceback" not in err
    again = re.search(r"after step (\d+) .* go on with: (.*)$", err, re.M)
    assert int(again[1]) > int(found[1]) and again[2] == found[3]
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert [one["step"] for one in facts["starts"]] == [0, int(found[1])]


def test_a_killed_command_leaves_neither_workers_nor_a_lock(start, tmp_path,
                                                            records, capsys):
    one = start()
    words = ["train", "--data", f"rec:{records}", "--out",
             str(tmp_path / "run")]
    assert main(words) == main([*words, "--resume"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"train: another run, process {one.pid}, is training "
                      f"in {tmp_path / 'run'}: wait for its end, or name "
                      "another folder"] * 2
    one.kill()
    one.wait()
    with folders.hold(tmp_path / "run", True):
        pass
    assert gone(one)


def test_ctrl_c_before_the_training_is_one_sentence(monkeypatch, capsys):
    def stop(options):
        """Stop."""
        raise KeyboardInterrupt
    from dsod_d2l.workbench import cli
    monkeypatch.setitem(cli.COMMANDS, "info", (stop, cli.COMMANDS["info"][1]))
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "info: stopped\n"


# ---- random moments -------------------------------------------------------------

@pytest.mark.slow
def test_runs_killed_at_random_moments_end_the_same(tmp_path):
    """A few of the kills of `make test-kill`."""
    done = subprocess.run(
        [sys.executable, "benchmarks/kill.py", "--quick", "--out",
         str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kill.json").read_text())
    assert found["figures"]["kills"] == 4 == len(found["moments"])
    assert found["figures"]["faults"] == []
    assert min(found["figures"]["compared_per_run"].values()) > 500


def test_the_comparison_notices_one_bit(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import kill
    train(tmp_path)
    before = kill.outcome(tmp_path)
    assert {"history", "best.safetensors: facts"} < set(before)
    path = tmp_path / "checkpoints/step-0000005.safetensors"
    tensors, facts = weights.load_tensors(path)
    name = next(name for name in tensors if name.startswith("average/"))
    tensors[name].view(np.int32).ravel()[0] ^= 1
    weights.save_tensors(path, tensors, facts)
    after = kill.outcome(tmp_path)
    assert [key for key in before if before[key] != after[key]] == [
        f"step-0000005.safetensors: {name}"]
    assert kill.torn(tmp_path) == []
    damage(path)
    assert kill.torn(tmp_path) == [path.name]
