"""Several processes do what one does, and end together.

The workers are real: this file, run as a script by ``launch``'s crew, with a
scheduler and a server on the loopback.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet, and turns servers into servers)
from dsod_d2l import weights as weight_files
from dsod_d2l.workbench.runs import checkpoints
from dsod_d2l.workbench.cli import launch, main
from dsod_d2l.datasets.records import write_records
from dsod_d2l.datasets.wrappers import complete
from dsod_d2l.workbench.runs import distributed
from small_runs import Squares
from test_parallel import Crowded, close, plain

pytestmark = pytest.mark.slow     # kernels, launchers and interpreters of their own

ROOT = Path(__file__).resolve().parents[1]
PLAN = dict(batch_size=16, steps=6, checkpoint_every=2, keep_checkpoints=9,
            optimiser="adam", learning_rate=1e-3, augment="light",
            average=0.9, workers=1, clip=0.5)


class Watched(Crowded):
    """Squares that note who asked for them; one may be broken."""

    def __init__(self, log=None, fault=None):
        super().__init__(64)
        self.log, self.fault = log, fault

    def __getitem__(self, index):
        if index == self.fault:
            raise ValueError(f"square {index} is broken")
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{index}\n")
        return super().__getitem__(index)

    def entry(self, index):
        """Tell what is known without the pixels, which is not noted."""
        return complete(Crowded(64)).entry(index)


def work(task):
    """Be a worker: train, with what the task says goes wrong."""
    import mxnet as mx
    from dsod_d2l.workbench.runs.long_run import run_training
    from test_training import settings

    folder = Path(task["folder"])
    with distributed.joined(task.get("patience", 60)) as team:
        def disturb(row):
            if team.rank == 1 and row["step"] == task.get("at"):
                if task["kind"] == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
        data = Watched(folder / f"seen-{team.rank}", task.get("fault"))
        run_training(plain(), data, settings(**{**PLAN, **task["plan"]}),
                     folder, task.get("resume", False), mx.cpu(),
                     progress=False, callbacks=[disturb], team=team)


def launched(folder, **task):
    """Let two workers do a task; return their process ids."""
    folder.mkdir(exist_ok=True)
    task = json.dumps({"folder": str(folder), "plan": {}, **task})
    crew = launch.Crew([sys.executable, __file__, task], 2, 1)
    everyone = [process.pid for process in [*crew.workers, *crew.others]]
    try:
        crew.watch([])
    finally:
        crew.close()
        assert not any(alive(pid) for pid in everyone)
    assert [other.returncode for other in crew.others] == [0, 0]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def saved(folder):
    rows = json.loads((folder / "history.json").read_text())
    return [row["loss"] for row in rows], weight_files.load_tensors(
        folder / "model.safetensors")[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Train in one process with the whole batch; return folder and order."""
    folder = tmp_path_factory.mktemp("alone")
    by_itself(folder, False)
    return folder


def by_itself(folder, resume):
    """Train in one process, of its own: the sums of two threads, wherever the tests run."""
    code = ("import sys, test_distributed as t, test_parallel; test_parallel.trained(t.plain(), None, "
            "t.Path(sys.argv[1]), sys.argv[2] == 'True', data=t.Watched(sys.argv[1] + '/seen'), **t.PLAN)")
    done = subprocess.run([sys.executable, "-c", code, str(folder), str(resume)],
                          cwd=ROOT / "tests", capture_output=True, text=True, env={
                              **os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    launched(folder)
    return folder


def test_two_workers_are_one_with_twice_the_batch(alone, together):
    (one, weights), (two, divided) = saved(alone), saved(together)
    assert len(one) == 6
    np.testing.assert_allclose(two, one, rtol=1e-5)
    close(weights, divided, 1e-4)            # Adam: see test_parallel


def test_no_image_is_read_twice(alone, together):
    def seen(path):
        return np.array(path.read_text().split(), int)
    whole = seen(alone / "seen").reshape(-1, 16)
    parts = [seen(together / f"seen-{rank}").reshape(-1, 8)
             for rank in (0, 1)]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


def test_a_dead_worker_ends_the_run_and_it_goes_on(alone, together,
                                                   tmp_path):
    start = time.monotonic()
    with pytest.raises(ChildProcessError, match=(
            r"worker . of 2 \(process \d+\) was killed by SIGKILL; the other "
            r"processes are stopped\. .*--resume$")):
        launched(tmp_path, kind="killed", at=3)
    assert time.monotonic() - start < 40
    left = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    assert [path.name for path in left] == ["step-0000002.safetensors"]
    launched(tmp_path, resume=True)
    (one, weights), (two, again) = saved(together), saved(tmp_path)
    assert one == two                        # a sum of two has no order
    for name, array in weights.items():
        np.testing.assert_array_equal(array, again[name])


def test_one_process_goes_on_where_two_were(alone, together, tmp_path):
    for name in ("checkpoints/step-0000004.safetensors", "run.json"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((together / name).read_bytes())
    by_itself(tmp_path, True)
    (one, weights), (two, divided) = saved(alone), saved(tmp_path)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    close(weights, divided, 1e-4)


def test_a_worker_does_not_wait_for_ever(tmp_path, capfd):
    with pytest.raises(ChildProcessError, match="ended with code 3"):
        launched(tmp_path, kind="asleep", at=1, patience=8)
    assert "other workers have been silent" in capfd.readouterr().err


def test_an_error_in_one_worker_ends_the_run(tmp_path, capfd):
    with pytest.raises(ChildProcessError, match="worker . of 2 .*code 1"):
        launched(tmp_path, fault=7)
    assert "square 7 is broken" in capfd.readouterr().err


def wait_for(found, seconds=60):
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.1)


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in path.read_text().split()]


@pytest.mark.parametrize("signals, code", [([signal.SIGINT], 130),
                                           ([signal.SIGKILL], -9)])
def test_the_launcher_takes_all_with_it(tmp_path, signals, code):
    """Ctrl-C saves; and not even kill -9 leaves a process behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dsod_d2l", "launch", "--workers", "2", "--",
         "train", "--data", "standin:train", "--model", "toy_ssd", "--out",
         str(tmp_path / "run"), "--steps", "1000", "--batch-size", "2",
         "--checkpoint-every", "1", "--held-back", "0.1"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: checkpoints.list_checkpoints(tmp_path / "run/checkpoints"))
    everyone = children(process.pid)
    assert len(everyone) == 4
    everyone += [pid for one in everyone for pid in children(one)]
    for number in signals:
        process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code
    wait_for(lambda: not any(alive(pid) for pid in everyone), 10)
    if code == 130:
        assert "launch: stopped. " in error and error.endswith("--resume\n")
        rows = json.loads((tmp_path / "run/history.json").read_text())
        newest = checkpoints.list_checkpoints(tmp_path / "run/checkpoints")
        assert newest[-1].name == f"step-{len(rows):07d}.safetensors"


def crew(code, workers=2):
    found = launch.Crew([sys.executable, "-c", code], workers, 1)
    try:
        found.watch([])
    finally:
        found.close()


def test_whoever_dies_is_named(capfd):
    role = "import os, sys; role = os.environ['DMLC_ROLE']; "
    crew(role + "print(role)")
    assert sorted(capfd.readouterr().out.split()) == [
        "scheduler", "server", "worker", "worker"]
    with pytest.raises(ChildProcessError, match=r"^worker 1 of 2 \(process "
                       r"\d+\) ended with code 5; "):
        crew(role + "sys.exit(5 * (role == 'worker'))")
    wait = "import time; role == 'worker' and time.sleep(30); "
    for name, who in (("the scheduler", "scheduler"),
                      ("server 1", "server")):
        with pytest.raises(ChildProcessError, match=f"^{name} .* code 4; "):
            crew(role + wait + f"sys.exit(4 * (role == '{who}'))")


def test_the_variables_of_each_process(capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(launch.runtime, "usable_cores", lambda: 8)
    crew("import json, os; print(json.dumps({k: v for k, v in os.environ"
         ".items() if k[:5] in ('DMLC_', 'OMP_N', 'CUDA_')}))", 3)
    rows = [json.loads(line) for line in capfd.readouterr().out.split("\n")
            if line]
    by_role = {row["DMLC_ROLE"]: row for row in rows}
    assert len(rows) == 5
    assert by_role["worker"]["OMP_NUM_THREADS"] == "2"
    assert by_role["server"]["OMP_NUM_THREADS"] == "1"
    assert by_role["server"]["CUDA_VISIBLE_DEVICES"] == ""
    assert {row["DMLC_NUM_WORKER"] for row in rows} == {"3"}
    assert len({row["DMLC_PS_ROOT_PORT"] for row in rows}) == 1


@pytest.mark.parametrize("words, message", [
    (["--workers", "0", "--", "train"], "--workers must be at least 1"),
    (["--workers", "2", "--servers", "0", "--", "train"], "--servers must"),
    (["--workers", "2", "--", "detect", "a.jpg"], "must be train and its"),
    (["--workers", "2"], "must be train and its")])
def test_wrong_use_is_one_sentence(words, message, capsys):
    assert main(["launch", *words]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out


def test_wrong_options_of_train_are_said_once(capsys):
    with pytest.raises(SystemExit):
        main(["launch", "--workers", "2", "--", "train", "--stepps", "3"])
    assert capsys.readouterr().err.count("\n") == 1


# ---- from the command line: two workers, each with two devices ------------------

def role(pid):
    """Return what a process was started as."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(one[10:].decode() for one in variables
                if one.startswith(b"DMLC_ROLE="))


def test_a_killed_worker_and_the_command_that_goes_on(tmp_path, capsys):
    """What goes on ends as one process does that has all four devices."""
    write_records(tmp_path / "squares.rec", [(
        one.boxes, one.labels, cv2.imencode(".png", one.image)[1].tobytes())
        for one in Squares().samples])
    train = ["train", "--data", f"rec:{tmp_path}/squares.rec", "--steps", "6",
             "--batch-size", "4", "--held-back", "0", "--workers", "0",
             "--checkpoint-every", "1", "--learning-rate", "0.001", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dsod_d2l", "launch", "--workers", "2", "--",
         *train, "--devices", "cpu0,cpu1", "--out", str(tmp_path / "two")],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = tmp_path / "two/checkpoints"
    wait_for(lambda: checkpoints.list_checkpoints(folder))
    everyone = children(process.pid)
    killed = [pid for pid in everyone if role(pid) == "worker"][-1]
    os.kill(killed, signal.SIGKILL)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and "Traceback" not in error
    found = re.search(r"^launch: worker \d of 2 \(process (\d+)\) was killed "
                      r"by SIGKILL; the other processes are stopped\. If it "
                      r"has saved something, go on with: (.* --resume)$",
                      error, re.M)
    assert int(found[1]) == killed
    wait_for(lambda: not any(alive(pid) for pid in everyone), 10)
    left = checkpoints.list_checkpoints(folder)
    assert left and not (tmp_path / "two/model.safetensors").exists()
    done = subprocess.run(shlex.split(found[2]), cwd=ROOT, text=True,
                          capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
    starts = json.loads((tmp_path / "two/run.json").read_text())["starts"]
    assert len(starts) == 2 and starts[1]["step"] >= 1
    assert main([*train, "--devices", "cpu0,cpu1,cpu2,cpu3", "--out",
                 str(tmp_path / "one")]) == 0
    (one, weights), (two, divided) = map(saved, (tmp_path / "one",
                                                 tmp_path / "two"))
    assert len(two) == 6
    np.testing.assert_allclose(two, one, rtol=1e-3)   # normalised apart
    close(weights, divided, 1e-2)
    assert json.loads(done.stdout)["steps"] == 6      # of the first alone


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
