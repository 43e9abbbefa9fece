"""Laws whose answer is known: planted without noise, drawn with it, and published ones repeated on their runs."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runs import CHINCHILLA, TINY, TRUE, changed, chinchilla, chinchilla_law, drawn, published

from miscope.core import MiscopeError
from miscope.maths.power_laws import NAMES, Law, least_squares
from miscope.scaling import isoflop
from miscope.scaling.documents import plain
from miscope.scaling.fit import METHODS, SHAPES, Fit, FitSettings, IsoflopFit, Method, Shape, exponent
from miscope.scaling.laws import fit_of
from miscope.scaling.parametric import Points, _Huber, fitted, objective, redrawn_laws, unfit
from miscope.scaling.results import read
from miscope.workspace.files import pretty_json

SIZES, TOKENS = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e10, 7), np.geomspace(1e9, 1e12, 6)))
QUICK = FitSettings(methods=("squared",), draws=60)
BUDGETS = np.geomspace(1e19, 1e22, 5)


def planted(law: Law, floor: float | None = None) -> Points:
    return Points(SIZES, TOKENS, np.asarray(law.loss(SIZES, TOKENS)), floor)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.floats(0, 3), st.floats(0.15, 0.8), st.floats(0.15, 0.8), st.floats(0.1, 3), st.floats(0.1, 3))
@example(E=1.69, alpha=0.34, beta=0.28, at_size=0.51, at_data=0.48)
@example(E=0.5, alpha=0.8, beta=0.2, at_size=5e-7, at_data=0.32)
@example(E=1.0, alpha=1.2, beta=0.9, at_size=1.3e-7, at_data=3.4e-6)
def test_any_law_is_recovered_without_noise(
    E: float, alpha: float, beta: float, at_size: float, at_data: float
) -> None:
    law = Law(E, at_size * 3e8**alpha, at_data * 3e10**beta, alpha, beta)
    again = least_squares(SIZES, TOKENS, np.asarray(law.loss(SIZES, TOKENS)))
    assert (again.alpha, again.beta, again.E) == pytest.approx((alpha, beta, E), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("floor", [None, 1.69])
def test_every_method_recovers_the_law_and_holds_a_pinned_floor(method: Method, floor: float | None) -> None:
    again = fitted(planted(CHINCHILLA, floor), method)
    assert (again.alpha, again.beta, again.E) == pytest.approx((0.34, 0.28, 1.69), abs=2e-4)
    assert floor is None or floor == again.E


def test_the_units_of_size_and_data_do_not_matter() -> None:
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(len(SIZES)))
    loss = np.asarray(CHINCHILLA.loss(SIZES, TOKENS)) * noise
    one, other = least_squares(SIZES, TOKENS, loss), least_squares(SIZES / 1e6, TOKENS / 1e9, loss)
    assert other.alpha == pytest.approx(one.alpha, rel=1e-7)
    assert other.A * 1e6**one.alpha == pytest.approx(one.A, rel=1e-6)


def test_the_best_split_of_compute_is_best() -> None:
    budget = 5.76e23
    n = CHINCHILLA.best_parameters(budget)
    around = n * np.array([0.9, 0.99, 1.0, 1.01, 1.1])
    assert np.argmin(CHINCHILLA.loss(around, budget / 6 / around)) == 2
    assert n * CHINCHILLA.best_tokens(budget) * 6 == pytest.approx(budget)
    assert CHINCHILLA.best_parameters(100 * budget) / n == pytest.approx(100 ** (0.28 / 0.62))
    assert Law(E=1.7, A=400.0, B=0.0, alpha=0.3, beta=0.3).best_parameters(1e20) == np.inf  # more data do not help


def test_the_gradient_is_the_slope() -> None:
    problem = _Huber(planted(CHINCHILLA))
    theta = problem.theta(Law(1.5, 300, 900, 0.31, 0.33))
    values = (problem.value_and_gradient(theta + step)[0] for step in [*1e-6 * np.eye(5), *-1e-6 * np.eye(5)])
    up, down = np.reshape(list(values), (2, 5))
    np.testing.assert_allclose(problem.value_and_gradient(theta)[1], (up - down) / 2e-6, rtol=1e-5)


def test_fits_that_nothing_supports_are_refused_by_kind() -> None:
    few = Points(SIZES[:4], TOKENS[:4], np.ones(4))
    together = Points(SIZES, 20 * SIZES, np.asarray(CHINCHILLA.loss(SIZES, 20 * SIZES)))
    two_sizes = Points(np.where(SIZES < 1e8, 1e7, 1e9), TOKENS, np.ones(len(SIZES)))
    assert unfit(few).kind == "too few points"
    assert unfit(together).kind == unfit(two_sizes).kind == "not identifiable"
    assert unfit(planted(CHINCHILLA)) is None


def sweep(width: float, n_sizes: int = 9, off_centre: float = 1.0) -> tuple[isoflop.Curve, ...]:
    """Noise-free curves at sizes from 1 / width to width times `off_centre` N*."""
    budget = np.repeat(BUDGETS, n_sizes)
    factors = off_centre * np.tile(np.geomspace(1 / width, width, n_sizes), len(BUDGETS))
    sizes = CHINCHILLA.best_parameters(budget) * factors
    return isoflop.curves(budget, sizes, budget / 6 / sizes, np.asarray(CHINCHILLA.loss(sizes, budget / 6 / sizes)))


def answered(curves: tuple[isoflop.Curve, ...], shape: Shape, sigma: float = 0.0) -> IsoflopFit:
    return isoflop.fitted(curves, shape, sigma, draws=200, seed=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_near_the_minimum_the_best_size_is_right(shape: Shape) -> None:
    answer = answered(sweep(width=2), shape)
    for minimum in answer.minima:
        assert minimum.parameters.value == pytest.approx(CHINCHILLA.best_parameters(minimum.budget), rel=0.01)
        assert minimum.tokens.value == pytest.approx(CHINCHILLA.best_tokens(minimum.budget), rel=0.01)
        assert minimum.loss == pytest.approx(CHINCHILLA.best_loss(minimum.budget), rel=1e-4)
    assert answer.a.value == pytest.approx(0.28 / 0.62, abs=1e-3)


@pytest.mark.parametrize("width,expected", [(10, 1.037), (100, 1.155)])
def test_a_parabola_is_biased_without_any_noise_as_much_as_was_published(width: float, expected: float) -> None:
    """Open-Athena 2026, scaling-law-analysis: the exponent is right, D* is too large by 3.7 % and by 15.5 %."""
    answer = answered(sweep(width, n_sizes=15), "parabola")
    assert answer.a.value == pytest.approx(0.28 / 0.62, abs=1e-6)
    ratios = [m.parameters.value / CHINCHILLA.best_parameters(m.budget) for m in answer.minima]
    assert np.ptp(ratios) < 1e-6
    assert max(ratios[0], 1 / ratios[0]) == pytest.approx(expected, abs=0.012)


def test_akima_is_less_biased_on_a_wide_grid() -> None:
    wide, best = sweep(30, n_sizes=15), CHINCHILLA.best_parameters(BUDGETS[0])
    off = {shape: abs(np.log(answered(wide, shape).minima[0].parameters.value / best)) for shape in SHAPES}
    assert off["akima"] < 0.5 * off["parabola"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("off_centre,word", [(0.1, "larger"), (10.0, "smaller")])
def test_a_minimum_at_the_edge_is_refused_and_says_where_to_look(shape: Shape, off_centre: float, word: str) -> None:
    answer = answered(sweep(4, off_centre=off_centre), shape)
    for minimum in answer.minima:
        assert minimum.parameters.value is None
        assert minimum.parameters.refusal.kind == "minimum at the grid's edge"
        assert f"Plan {word} sizes" in minimum.parameters.refusal.sentence
    assert answer.a.refusal.kind == "too few budgets"


def test_a_curve_that_bends_down_has_no_interior_minimum_and_two_budgets_make_no_line() -> None:
    sizes = np.geomspace(1e6, 1e8, 5)
    losses = np.array([3.0, 2.96, 3.3, 3.2, 3.0])  # least at the second, yet bent down on the whole
    curve = isoflop.Curve(1e18, sizes, losses, np.ones(5), 6.0)
    assert isoflop.refusal_of(curve, "parabola").kind == "no interior minimum"
    assert answered(sweep(3)[:2], "parabola").a.refusal.kind == "too few budgets"


def noisy(seed: int, sigma: float = 0.002) -> tuple[isoflop.Curve, ...]:
    shaken = sigma * np.random.default_rng(seed).standard_normal((len(BUDGETS), 9))
    return tuple(replace(c, loss=c.loss + e) for c, e in zip(sweep(6), shaken, strict=True))


def test_most_intervals_of_isoflop_hold_the_truth_and_more_noise_widens_them() -> None:
    for shape in SHAPES:
        exponents = [answered(noisy(seed), shape, 0.002).a for seed in range(20)]
        assert sum(a.low <= 0.28 / 0.62 <= a.high for a in exponents) >= 16  # 19 are expected
    narrow, wide = (answered(noisy(0), "parabola", sigma).a for sigma in (0.002, 0.006))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_noise_is_measured_among_seeds() -> None:
    generator = np.random.default_rng(0)
    budget, sizes = np.repeat([1e18, 1e19], 200), np.tile(np.repeat([1e6, 2e6], 100), 2)
    loss = 3.0 + sizes / 1e7 + 0.02 * generator.standard_normal(400)
    assert isoflop.seed_noise(budget, sizes, loss) == pytest.approx(0.02, rel=0.1)
    assert isoflop.seed_noise(budget[::100], sizes[::100], loss[::100]) is None


def test_runs_are_gathered_by_budget_and_size_and_seeds_are_averaged() -> None:
    budget = np.array([1e18] * 6 + [1.01e18] + [5e18] * 3)
    sizes = np.array([1e6, 2e6, 4e6, 8e6, 8e6, 1.001e6, 2e6, 1e6, 2e6, 4e6])
    loss = np.arange(10.0)
    (curve,) = isoflop.curves(budget, sizes, budget / 6 / sizes, loss)
    np.testing.assert_allclose(curve.n_runs, [2, 2, 1, 2])
    np.testing.assert_allclose(curve.loss, [2.5, 3.5, 2, 3.5])


@pytest.fixture(scope="module")
def study() -> Fit:
    return fit_of(drawn(0.003), QUICK)


def test_intervals_hold_the_law_that_made_the_runs(study: Fit) -> None:
    law = study.parametric["squared"]
    asked = law.targets[0]
    assert asked.budget == pytest.approx(1e22)
    size, tokens = TRUE.best_parameters(1e22), TRUE.best_tokens(1e22)
    for answer, truth in (
        *((law.estimates[name], getattr(TRUE, name)) for name in ("E", "alpha", "beta")),
        (law.answers["a"], TRUE.exponent), (asked.parameters, size), (asked.tokens, tokens),
        (asked.tokens_per_parameter, tokens / size),
    ):  # fmt: skip
        assert answer.low < truth < answer.high
    assert asked.predicted_loss.high - asked.predicted_loss.low > asked.loss.high - asked.loss.low


def test_most_intervals_hold_the_truth() -> None:
    hits = 0
    for seed in range(12):
        runs = drawn(0.003, seed)
        points = Points(runs.parameters, runs.tokens, runs.loss, floor=1.8)
        law = fitted(points, "squared")
        draws = redrawn_laws(points, "squared", law, 40, seed)
        a = exponent(float(law.exponent), np.asarray(draws.exponent))
        hits += a.low <= TRUE.exponent <= a.high
    assert hits >= 9  # 11 are expected


def test_the_same_runs_and_settings_give_the_same_bytes_and_another_seed_other_intervals(study: Fit) -> None:
    assert pretty_json(plain(fit_of(drawn(0.003), QUICK))) == pretty_json(plain(study))
    other = fit_of(drawn(0.003), replace(QUICK, seed=1)).parametric["squared"]
    assert other.law == study.parametric["squared"].law
    assert other.estimates != study.parametric["squared"].estimates


def test_every_answer_is_a_number_or_a_refusal(study: Fit) -> None:
    refused = fit_of(drawn(0.05, n_budgets=2), QUICK)
    for fit in (study, refused):
        estimates = [e for law in fit.parametric.values() for e in law.estimates.values()]
        estimates += [one.a for one in fit.isoflop.values()]
        assert all((e.value is None) == (e.refusal is not None) for e in estimates)
    assert refused.isoflop["parabola"].a.refusal.kind == "too few budgets"
    assert refused.parametric["squared"].estimates["E"].refusal.kind == "not identifiable"
    few = drawn(0.0, n_budgets=1)
    whole = fit_of(replace(few, runs=few.runs[:4]), QUICK)
    assert (whole.refusal.kind, whole.parametric, whole.held_out) == ("too few points", {}, None)


def test_exponents_that_the_linear_programme_cannot_take_are_no_law() -> None:
    wild = changed(drawn(0.003), {0: {"loss": 1.7}, 3: {"loss": 3.3}})
    points = Points(*(np.delete(v, [2, 5]) for v in (wild.parameters, wild.tokens, wild.loss)))
    draws = redrawn_laws(points, "asymmetric", fitted(points, "asymmetric"), 1, seed=0)
    assert 0 < draws.E[0] < wild.loss.max()


def test_the_methods_stand_side_by_side_with_the_bias_of_isoflop_a_test_ahead_and_a_checklist(study: Fit) -> None:
    assert set(study.disagreement.a) == {"squared", "IsoFLOP, parabola", "IsoFLOP, akima"}
    assert "differ by a factor" in study.disagreement.sentence
    bias = study.bias["parabola"]
    assert bias.targets[0].ratio != pytest.approx(1, abs=0.005)
    assert bias.a_of_law == study.parametric["squared"].law.exponent
    assert study.held_out.n == 7
    assert study.held_out.mean_absolute_relative_error < 0.02
    answers = {item.question: item.answer for item in study.checklist}
    assert (answers["How is N counted?"], answers["Which model?"]) == ("all but embeddings", "Toy")
    assert answers["Which schedule?"] is None
    assert "60 bootstraps" in answers["How are intervals made?"]


def test_an_outlier_is_listed_with_its_reason_and_fitted_with_and_without() -> None:
    runs = drawn(0.002)
    fit = fit_of(changed(runs, {3: {"loss": 1.2 * runs.loss[3]}}), QUICK)
    listed = {run.id: run.reasons for run in fit.outliers}
    assert "above the law" in listed["r3"][0]
    with_it, without = fit.sensitivity[0], fit.sensitivity[-1]
    assert (with_it.n, without.n) == (28, 28 - len(listed))
    assert abs(without.law.alpha - TRUE.alpha) < abs(with_it.law.alpha - TRUE.alpha)


def test_what_the_settings_leave_out_is_told_and_fitted_again_with_it() -> None:
    runs = changed(drawn(0.002), {5: {"loss": float("nan")}})
    fit = fit_of(runs, replace(QUICK, exclude={"r3": "the disk was full"}))
    assert {run.id: run.by for run in fit.set_aside} == {"r3": "settings", "r5": "fit"}
    assert [some.n for some in fit.sensitivity[:2]] == [26, 27]
    with pytest.raises(MiscopeError, match="no run of that id"):
        fit_of(runs, replace(QUICK, exclude={"r99": "?"}))
    for wrong in ({"methods": ()}, {"draws": 3}, {"targets": (0.0,)}):
        with pytest.raises(MiscopeError, match="allowed"):
            FitSettings(**wrong)


def test_a_known_floor_is_pinned_beside_the_free_fit_and_a_loss_below_it_is_listed() -> None:
    fit = fit_of(changed(drawn(0.003, entropy=1.8), {0: {"loss": 1.7}}), QUICK)
    assert fit.headline == "squared, E known"
    assert fit.law.law.E == 1.8
    assert any("below the source's entropy" in reason for run in fit.outliers for reason in run.reasons)


def test_the_replication_of_chinchilla_is_repeated() -> None:
    points, law = chinchilla(), chinchilla_law()
    assert len(points) == 240
    assert objective(points, law, "huber") <= 0.0010183
    assert (law.E, law.alpha, law.beta) == pytest.approx((1.8172, 0.3473, 0.3672), abs=0.001)
    assert law.exponent == pytest.approx(0.5139, abs=0.002)
    whole = fitted(chinchilla(n_highest_left_out=0), "huber")  # with them data seem to matter more
    assert (whole.beta, whole.E) == pytest.approx((0.4530, 1.891), abs=0.005)


def test_rounding_the_published_law_triples_its_objective() -> None:
    written = Law(np.exp(0.5267228), np.exp(6.0073404), np.exp(6.0179186), 0.33917084, 0.2849083)
    objectives = [objective(chinchilla(), law, "huber") for law in (written, CHINCHILLA)]
    assert objectives == pytest.approx([0.0012312, 0.0041210], rel=0.01)


def test_the_published_least_squares_is_repeated() -> None:
    with published("ml_scalefit_reproduction_results.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["config"] == "mse+lbfgs")
    points = chinchilla(below_flops=1e21)
    assert len(points) == int(row["n"]) == 217
    scaled = Points(points.parameters / 1e6, points.tokens / 1e9, points.loss)
    law = fitted(scaled, "squared")
    expected = {"E": "bias", "A": "bias_size", "B": "bias_tokens", "alpha": "pow_size", "beta": "pow_tokens"}
    for name, column in expected.items():
        assert getattr(law, name) == pytest.approx(float(row[column]), rel=2e-4, abs=1e-4)
    # their optimizer stops a little early: ours is lower, and is where an independent search ends as well
    theirs = Law(*(float(row[expected[name]]) for name in NAMES))
    assert objective(scaled, law, "squared") <= objective(scaled, theirs, "squared")
    assert objective(scaled, law, "squared") == pytest.approx(0.062414, abs=1e-6)


def test_the_published_asymmetric_fit_is_repeated() -> None:
    runs = read(published("kyo_takano_llm_runs.csv"))
    assert len(runs) == 234
    law = fitted(Points(runs.parameters, runs.tokens, runs.loss), "asymmetric")
    for name, expected in {"E": 1.7002, "alpha": 0.28901, "beta": 0.35579, "A": 184.69, "B": 1633.48}.items():
        assert getattr(law, name) == pytest.approx(expected, rel=0.005)


def test_the_standard_errors_of_the_replication_are_repeated() -> None:
    """With 150 draws, within their own scatter; `make bench-fit` says it with 1,000."""
    draws = redrawn_laws(chinchilla(), "huber", chinchilla_law(), 150, seed=0)
    for name, expected in {"A": 124.52, "alpha": 0.01540, "beta": 0.02060}.items():
        assert np.std(getattr(draws, name), ddof=1) == pytest.approx(expected, rel=0.2)


def test_fifteen_tiny_runs_cannot_say_the_floor() -> None:
    fit = fit_of(replace(read(published(TINY)), entropy=2.4704), QUICK)
    floor = fit.parametric["squared"].estimates["E"]
    assert pytest.approx(1.23, abs=0.01) == fit.parametric["squared"].law.E
    assert (floor.value, floor.refusal.kind) == (None, "not identifiable")
    assert floor.high - floor.low > 1
    assert not any("entropy" in reason for run in fit.outliers for reason in run.reasons)


def test_a_tiny_sweep_has_minima_inside_that_grow_with_compute() -> None:
    runs = read(published(TINY))
    curves = isoflop.curves(runs.budget, runs.parameters, runs.tokens, runs.loss)
    lowest = [curve.parameters[curve.loss.argmin()] for curve in curves]
    assert lowest == [7616, 16032, 27520]
    for shape in SHAPES:
        sizes = [minimum.parameters.value for minimum in answered(curves, shape).minima]
        assert sizes == sorted(sizes)
    assert answered(curves, "parabola").a.value == pytest.approx(0.76, abs=0.01)
