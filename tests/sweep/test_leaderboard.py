"""Leaderboards of sweeps, from ledgers and summaries written by hand."""

import csv
import io
import math
import statistics
import sys
import time

import pytest
from rich.console import Console

from trainer.files import write_json
from trainer.runs.index import find
from trainer.runs.leaderboard import HIGHER_IS_BETTER, leaderboard
from trainer.runs.ledger import Ledger
from trainer.view.sweep import picture, table
from trainer.view.sweep.files import save
from trainer.view.sweep.live import Screen
from trainer.view.sweep.scales import Axis, by_effect, heights
from trainer.view.sweep.text import brief, lead, progress, ranges


class Sweep:
    """The folder of a sweep whose jobs end as a test says."""

    def __init__(self, folder, num_jobs=99, command=()):
        self.folder, self.ledger, self.number = folder, Ledger(folder), -1
        self.ledger.append("sweep", command=list(command), samples={}, jobs=num_jobs)

    def begin(self, overrides, data="digits"):
        self.number += 1
        place = self.folder / str(self.number)
        place.mkdir()
        write_json(place / "environment.json", {"names": {"data": data}})
        self.ledger.append("started", job=self.number, overrides=overrides.split(), folder=place.name, hash="")
        return place

    def finish(self, overrides, objective, metric="accuracy", data="digits", baseline=0.5, seconds=2.0):
        place = self.begin(overrides, data)
        summary = {"status": "finished", "names": {"data": data}, "monitor": metric, "best": {metric: objective}}
        write_json(place / "summary.json", summary | {"test": {metric: objective - 1}, "baseline": {metric: baseline}})
        ended = {"objective": objective, "metric": metric, "epoch": 1, "seconds": seconds}
        self.ledger.append("finished", job=self.number, **ended)

    def prune(self, overrides, objective, epoch, metric="accuracy"):
        self.begin(overrides)
        self.ledger.append("pruned", job=self.number, objective=objective, metric=metric, epoch=epoch)

    def fail(self, overrides, error="boo"):
        self.begin(overrides)
        self.ledger.append("failed", job=self.number, seconds=1.0, code=1, error=error)

    @property
    def board(self):
        return leaderboard(self.folder)

    def ranked(self, key):
        """Return the values of a key from the best row to the worst, a list per group."""
        return [[row.values[key] for row in group.rows] for group in self.board.groups]

    def saved(self):
        save(self.board, self.folder)
        with (self.folder / "leaderboard.csv").open(newline="") as file:
            return list(csv.DictReader(file)), (self.folder / "leaderboard.md").read_text()


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path)


def lines(board, width=sys.maxsize, **options):
    return table.tables(board, width, colour=False, **options)


@pytest.mark.parametrize("metric", HIGHER_IS_BETTER)
def test_the_metric_decides_whether_the_largest_or_the_smallest_is_best(sweep, metric):
    for lr, value in (("1", 0.3), ("2", 0.9), ("3", 0.1)):
        sweep.finish(f"optim.lr={lr}", value, metric)
    assert sweep.ranked("optim.lr") == [["2", "1", "3"] if HIGHER_IS_BETTER[metric] else ["3", "1", "2"]]
    assert find(str(sweep.folder)) == sweep.folder / ("1" if HIGHER_IS_BETTER[metric] else "2")


def test_a_row_is_a_mean_over_seeds_and_the_best_job_is_one_of_the_best_row(sweep):
    found = {"a": [0.7, 0.8, 0.75], "b": [0.99, 0.1, 0.2]}
    for seed in (1, 2, 3):
        for model, values in found.items():
            sweep.finish(f"model={model} seed={seed} epochs=2", values[seed - 1], baseline=seed / 10, seconds=seed)
    (group,) = sweep.board.groups
    for row, values in zip(group.rows, found.values(), strict=True):
        assert row.objective == pytest.approx((statistics.fmean(values), statistics.stdev(values)))
        assert row.test.mean == pytest.approx(statistics.fmean(values) - 1)
        assert row.seconds == 2
    assert group.baseline == pytest.approx((0.2, 0.1))
    assert sweep.board.keys == ["model"]
    assert find(str(sweep.folder)) == sweep.folder / "2"  # not the one lucky seed of b
    table = lines(sweep.board)
    assert table[1].split() == ["rank", "model", "val/accuracy", "test/accuracy", "time", "jobs"]
    assert table[3].split() == ["1", "a", "0.7500", "±", "0.0500", "-0.2500", "±", "0.0500", "2.0", "s", "0,2,4"]
    assert table[5].split() == ["baseline", "0.2000", "±", "0.1000"]
    assert "mean ± standard deviation over 3 seeds; higher is better" in table[6]


def test_two_seeds_have_a_deviation_one_has_none_and_missing_seeds_are_counted(sweep):
    sweep.finish("model=a seed=1", 0.5)
    sweep.finish("model=a seed=2", 0.7)
    sweep.finish("model=b seed=1", 0.9)
    sweep.fail("model=b seed=2")
    rows = sweep.board.groups[0].rows
    assert math.isnan(rows[0].objective.std)
    assert rows[1].objective.std == pytest.approx(0.2 / math.sqrt(2))
    table = lines(sweep.board)
    assert "1 of 2" in table[3]
    assert "over up to 2 seeds" in table[-1]
    assert progress(sweep.board) == "99 jobs: 3 finished, 1 failed, 95 to do"


def test_a_sweep_resumed_with_more_jobs_counts_them(sweep):
    sweep.finish("optim.lr=1", 0.5)
    sweep.ledger.append("resumed", command=[], jobs=120)
    assert "119 to do" in progress(sweep.board)


def test_equal_means_keep_their_order_and_non_finite_values_come_last(sweep):
    for value, objective in (("nan", math.nan), ("a", 0.5), ("inf", math.inf), ("b", 0.5), ("c", 0.6)):
        sweep.finish(f"model={value} seed=1", objective)
    sweep.finish("model=a seed=2", 0.5)
    sweep.finish("model=b seed=2", 0.5)
    sweep.prune("model=d seed=1", 0.99, epoch=1)
    assert sweep.ranked("model") == [["c", "a", "b", "d", "nan", "inf"]]
    assert not math.isfinite(float(sweep.saved()[0][-1]["val_mean"]))
    assert heights(sweep.board.groups[0]).high < 2  # and the picture is not stretched


def test_pruned_jobs_rank_below_finished_ones_the_longest_first(sweep):
    sweep.prune("optim.lr=1", 0.9, epoch=1)
    sweep.prune("optim.lr=2", 0.2, epoch=3)
    sweep.prune("optim.lr=3", 0.4, epoch=3)
    with pytest.raises(Exception, match="no job of this sweep has finished"):
        find(str(sweep.folder))
    sweep.finish("optim.lr=4", 0.1)
    sweep.begin("optim.lr=5")
    sweep.ledger.append("paused", job=sweep.number, objective=0.99, metric="accuracy", epoch=1)
    assert sweep.ranked("optim.lr") == [["4", "3", "2", "1"]]
    assert list(sweep.board.pending) == [4]
    table = lines(sweep.board)
    assert table[4].split()[-3:] == ["epoch", "3", "2"]
    assert "pruned after" in table[1]
    assert [row["pruned_after"] for row in sweep.saved()[0]] == ["", "3", "3", "1"]
    assert find(str(sweep.folder)) == sweep.folder / "3"


def test_metrics_and_datasets_are_ranked_separately_each_with_its_baseline(sweep):
    sweep.finish("model=a experiment=x", 0.5, "accuracy", "iris", baseline=0.3)
    sweep.finish("model=a experiment=y", 70.0, "mse", "hours", baseline=60.0)
    sweep.finish("model=b experiment=x", 0.6, "accuracy", "iris", baseline=0.3)
    sweep.finish("model=b experiment=y", 50.0, "mse", "hours", baseline=60.0)
    sweep.finish("model=b experiment=z", 0.9, "accuracy", "wine", baseline=0.4)
    groups = sweep.board.groups
    assert [(g.metric, g.data, g.baseline.mean) for g in groups] == [
        ("accuracy", "iris", 0.3),
        ("mse", "hours", 60),
        ("accuracy", "wine", 0.4),
    ]
    assert sweep.ranked("model") == [["b", "a"], ["b", "a"], ["b"]]
    table = "\n".join(lines(sweep.board))
    assert table.count("val/accuracy") == table.count("val/mse") == 1  # a table per metric
    assert table.count("baseline  ") == 3
    rows, _ = sweep.saved()
    assert [(row["data"], row["rank"]) for row in rows][:3] == [("iris", "1"), ("iris", "2"), ("hours", "1")]


def test_values_of_different_losses_are_not_compared(sweep):
    sweep.finish("loss=mse", 9.0, "loss")
    sweep.finish("loss=mae", 3.0, "loss")
    assert sweep.ranked("loss") == [["mse"], ["mae"]]


def test_a_lead_smaller_than_the_deviation_over_seeds_is_reported(sweep):
    for seed, (a, b, c) in enumerate([(0.90, 0.89, 0.5), (0.92, 0.91, 0.5)]):
        sweep.finish(f"model=a seed={seed}", a)
        sweep.finish(f"model=b seed={seed}", b)
        sweep.finish(f"model=c seed={seed}", c)
    (group,) = sweep.board.groups
    assert "differ by 0.01, less than the standard deviation over seeds (0.0141)" in lead(sweep.board, group)
    assert lead(sweep.board, group) in lines(sweep.board)
    assert not lead(sweep.board, group._replace(rows=[group.rows[0], group.rows[2]]))
    assert not lead(sweep.board, group._replace(rows=group.rows[:1]))


def test_files_hold_all_rows_and_markdown_is_escaped(sweep):
    sweep.finish("+optim.lr=0.00012345678901234567 model.hidden=[1,2]", 0.123456789)
    sweep.finish("+optim.lr=0.5 model.hidden='a|b*'", 0.1)
    sweep.fail("+optim.lr=7 model.hidden=[3]", "line one | pipe\nline two \x1b[31mred")
    rows, text = sweep.saved()
    assert rows[0]["optim.lr"] == "0.00012345678901234567"
    assert float(rows[0]["val_mean"]) == 0.123456789
    assert "| `0.0001235` |" in text
    assert r"`'a\|b*'`" in text
    assert r"line one \| pipe line two \x1b[31mred" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in tables[:4]} == {tables[0].count("|")}
    assert "99 jobs: 2 finished, 1 failed, 96 to do." in text


@pytest.mark.parametrize("width", [120, 80, 50])
def test_a_terminal_shows_the_columns_that_fit_and_names_the_others(sweep, width):
    for number in range(30):
        overrides = f"model=simple_cnn optim.lr={number} data.batch_size=16 model.hidden=[{'1,' * 30}{number}] seed=1"
        sweep.finish(overrides, number / 100)
    sweep.fail("model=simple_cnn optim.lr=30 data.batch_size=16 model.hidden=[1] seed=1", "word " * 60)
    shown = lines(sweep.board, width)
    assert max(map(len, shown)) <= width
    assert shown[1].split()[0] == "rank"
    assert "val" in shown[1]
    assert ("no room for" in shown[-1]) == (width < 80)
    assert "and 10 more" in shown
    failures = table.failures(sweep.board, width)
    assert failures[2].startswith("job 30  optim.lr=30 model.hidden=[1]")
    assert max(len(line) for line in failures[2:-1]) <= width
    assert failures[-1].strip() == str(sweep.folder / "30" / "train.log")  # not wrapped
    assert not any("\x1b" in line for line in shown)
    coloured = table.tables(sweep.board, width, colour=True)
    assert [line for line in coloured if line.startswith(table.BEST)] == [f"{table.BEST}{shown[3]}{table.PLAIN}"]


@pytest.mark.parametrize(
    ("value", "short"),
    [("0.001", "0.001"), ("0.12345678901", "0.1235"), ("1234567890", "1234567890"), ("x" * 30, "x" * 21 + "...")],
)
def test_long_values_are_cut(value, short):
    assert brief(value) == short


def test_consecutive_job_numbers_form_a_range():
    assert ranges([3, 0, 1, 2, 7, 9, 10]) == "0-3,7,9-10"
    assert ranges([4]) == "4"


def test_an_axis_is_linear_logarithmic_or_categorical():
    assert Axis.of(["1", "2", "3"]) == Axis([], [1, 2, 3], False)
    assert Axis.of(["0.001", "0.1", "1e-2"]).is_logarithmic
    assert Axis.of(["0.001", "0.1"]).at("0.1") == -1
    assert Axis.of(["0", "1e-4", "1e-2"]).names == ["0", "1e-4", "1e-2"]  # zero has no logarithm
    assert Axis.of(["full", "32"]).names == ["full", "32"]
    assert Axis.of(["0", "0.1", "0.5"]) == Axis([], [0, 0.1, 0.5], False)
    many = Axis.of([str(1 + n / 100) for n in range(100)])
    assert {many.bin(str(1 + n / 100)) for n in range(100)} == {0, 1, 2, 3, 4}


def test_the_picture_has_a_panel_per_key_with_all_jobs_means_and_the_baseline(sweep):
    for lr in ("0.001", "0.01", "0.1"):
        for model in ("mlp", "cnn"):
            for seed in (1, 2):
                value = {"0.001": 0.5, "0.01": 0.9, "0.1": 0.7}[lr] + (0.02 if model == "cnn" else 0) + seed / 100
                sweep.finish(f"model={model} optim.lr={lr} seed={seed}", value)
    sweep.fail("model=cnn optim.lr=10 seed=1")
    sweep.prune("model=cnn optim.lr=1 seed=1", 0.6, epoch=1)
    figure = picture.figure(sweep.board)
    by_lr, by_model = figure.axes
    assert (by_lr.get_xlabel(), by_lr.get_xscale()) == ("optim.lr", "log")  # has more effect
    assert (by_model.get_xlabel(), by_model.get_xscale()) == ("model", "linear")
    assert [tick.get_text() for tick in by_model.get_xticklabels()] == ["cnn", "mlp"]
    assert by_lr.get_ylabel() == "validation accuracy (higher is better)"
    for panel in figure.axes:
        drawn = {}
        for line in panel.lines:
            drawn.setdefault(line.get_label(), []).extend(line.get_ydata())
        assert sorted(drawn["job"] + drawn["best row"]) == pytest.approx(
            sorted(job.objective for row in sweep.board.groups[0].rows[:-1] for job in row.jobs)
        )
        assert drawn["best row"] == pytest.approx([0.93, 0.94])
        assert drawn["pruned (best value)"] == [0.6]
        assert drawn["failed"] == [panel.get_ylim()[0]]
        assert list(drawn["baseline on the test split: 0.5000"]) == [0.5, 0.5]
    means = next(line for line in by_lr.lines if line.get_label() == "mean over other keys")
    assert list(means.get_xdata()) == pytest.approx([0.001, 0.01, 0.1])
    assert list(means.get_ydata()) == pytest.approx([0.525, 0.925, 0.725])
    picture.draw_board(sweep.board, sweep.folder / "x.png")
    assert (sweep.folder / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_outliers_are_drawn_at_the_edge_and_labelled(sweep):
    for number in range(9):
        sweep.finish(f"optim.lr={number}", 0.5 + number / 100, "r2")
    sweep.finish("optim.lr=9", -1e6, "r2")
    (panel,) = picture.figure(sweep.board).axes
    low, high = panel.get_ylim()
    assert high - low < 1
    (edge,) = [line for line in panel.lines if line.get_label() == "worse than shown"]
    assert (edge.get_xdata(), edge.get_ydata()) == ([9], [low])


def test_errors_that_span_decades_get_a_logarithmic_axis_and_no_jobs_no_picture(sweep):
    sweep.fail("optim.lr=1")
    assert picture.figure(sweep.board) is None
    for number in range(4):
        sweep.finish(f"optim.lr={number}", 10.0**number, "mse")
    assert picture.figure(sweep.board).axes[0].get_yscale() == "log"


def test_the_key_with_most_effect_comes_first_even_if_another_has_many_values(sweep):
    for number in range(40):
        overrides = f"noise={(number * 17 % 40) / 39} model={'ab'[number % 2]}"
        sweep.finish(overrides, number % 2 + (number * 7 % 40) / 100)
    assert by_effect(sweep.board.groups[0], ["noise", "model"]) == ["model", "noise"]


def test_the_screen_reports_each_end_once_in_a_line_without_escape_codes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("trainer.view.sweep.live.EVERY_S", 0.01)
    sweep = Sweep(tmp_path, 4, ["-m", "optim.lr=1,2,3,4", "epochs=2"])
    sweep.finish("optim.lr=1 epochs=2", 0.5)
    with pytest.raises(KeyboardInterrupt), Screen(tmp_path, 4):  # noqa: PT012
        sweep.finish("optim.lr=2 epochs=2", 0.75)
        time.sleep(0.05)
        sweep.fail("optim.lr=3 epochs=2", "a\nb " * 100)
        sweep.prune("optim.lr=4 epochs=2", 0.25, epoch=1)
        sweep.ledger.append("started", job=3)
        raise KeyboardInterrupt
    second, third, left = capsys.readouterr().out.splitlines()
    assert second == "[2/4]  job 1  optim.lr=2  finished  2.0 s  accuracy 0.7500"
    assert third.startswith("[3/4]  job 2  optim.lr=3  failed  1.0 s  a b a b")
    assert len(third) < 150
    assert left == f"stopped with 1 of 4 jobs to do; continue with dltrain -m resume={tmp_path}"


@pytest.mark.parametrize(("num_running", "num_rows"), [(1, 8), (2, 8), (30, 5)])
def test_a_terminal_shows_the_best_rows_and_running_jobs_below(tmp_path, monkeypatch, num_running, num_rows):
    sweep = Sweep(tmp_path, 80)
    for number in range(40):
        sweep.finish(f"optim.lr={number} seed=1", number / 100)
    for number in range(num_running):
        sweep.begin(f"optim.lr={50 + number} seed=1")
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=20, legacy_windows=False)
    monkeypatch.setattr("trainer.view.sweep.live.Terminal", lambda **_: console)
    with Screen(tmp_path, 80) as screen:
        below = screen._below()
    assert len(below) <= 20
    assert sum(line.split()[-1:] != [] and line.split()[0].isdigit() for line in below if line.strip()) >= num_rows
    assert any(line.startswith("80 jobs: 40 finished, 40 to do") for line in below)
    assert sum(line.startswith("running  job 4") for line in below) == min(num_running, 5)
    assert below[-1].startswith("and 25 more" if num_running == 30 else f"running  job {39 + num_running}  optim.lr=")


def test_two_hundred_jobs_are_read_quickly(sweep):
    for number in range(200):
        sweep.finish(f"optim.lr={number % 20} model.hidden={number % 5} seed={number}", number / 200)
    leaderboard(sweep.folder)  # caches the summaries
    start = time.process_time()
    lines(leaderboard(sweep.folder), 100, most=10)
    assert time.process_time() - start < 0.1  # a tenth of that on an idle machine


def test_a_repeated_job_is_one_result_and_one_value_has_one_spelling(tmp_path):
    swept = Sweep(tmp_path, num_jobs=5)
    for overrides in ("optim.lr=0.001 seed=0", "optim.lr=1e-3 seed=0", "optim.lr=1e-3 seed=1", "optim.lr=0.1 seed=0"):
        swept.finish(overrides, 0.5)
    (group,) = swept.board.groups
    assert swept.ranked("optim.lr") == [["0.001", "0.1"]]
    assert [[job.number for job in row.jobs] for row in group.rows] == [[0, 2], [3]]
    assert progress(swept.board) == "5 jobs: 4 finished, 1 to do"
