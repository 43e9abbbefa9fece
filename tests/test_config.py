"""params.yaml: what is read, and the one line that each mistake gets."""

import re
from pathlib import Path

import pytest

from miscope.core import Adaptive, MiscopeError, Recipe
from miscope.families.modulo_addition import ModuloAddition
from miscope.workspace import configuration
from miscope.workspace.configuration import Config

GOOD = """\
variants:
  one:
    family: modulo_addition
    modulus: 13
    seed: 3
    learning_rate: 1e-3
    steps: 100
    checkpoints: [{every: 25}, {from: 10, to: 20, every: 5}, 99]
instruments:
  neuron_spectra: {low_frequencies: 2}
"""


def load(folder: Path, text: str) -> Config:
    (folder / "params.yaml").write_text(text)
    return configuration.load(folder)


def test_a_variant_is_its_family_with_its_settings_and_the_recipe_with_what_is_overridden(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    variant = config.variant("one")
    assert (variant.family.modulus, variant.seed, variant.data_seed) == (13, 3, 0)
    assert variant.recipe == Recipe(steps=100, learning_rate=0.001)  # `1e-3` is a number, as DVC reads it
    assert variant.label == "modadd_p13_s3_d0_f0.3"
    assert config.settings("neuron_spectra") == {
        "levels": (0.7, 0.9),
        "low_frequencies": 2,
    }  # defaults, and what is said


def test_the_schedule_is_the_union_of_steps_ranges_and_ratios_or_left_to_the_curve(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).variant("one").checkpoint_steps == (0, 10, 15, 20, 25, 50, 75, 99, 100)
    text = GOOD.replace("[{every: 25}, {from: 10, to: 20, every: 5}, 99]", "[{log: 3, from: 4, to: 64}, {adaptive: 7}]")
    variant = load(tmp_path, text).variant("one")
    assert variant.checkpoint_steps == (0, 4, 16, 64, 100)
    assert variant.adaptive == Adaptive(7, "test_loss")


BRANCHED = """\
variants:
  one: &one {family: modulo_addition, modulus: 13, seed: 3, steps: 100}
  two: {<<: *one, branch: {parent: one, at: 40, weight_decay: 0.0, train_fraction: 0.5}}
"""


def test_a_branch_is_its_parent_with_other_settings_from_some_step_on(tmp_path: Path) -> None:
    variants = load(tmp_path, BRANCHED).variants
    branch = variants["two"].branch
    assert branch is not None
    assert (branch.parent, branch.at, branch.recipe.weight_decay) == ("one", 40, 0.0)
    assert branch.family == ModuloAddition(13, 0.5)
    assert variants["two"].recipe == variants["one"].recipe


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("parent: one", "parent: three", "`variants.two.branch.parent` = 'three'; allowed: one."),
        ("at: 40", "at: 101", "`variants.two.branch.at` = 101; allowed: 0 to 100"),
        ("weight_decay", "seed", "`variants.two.branch`: `seed` is unknown"),
        ("<<: *one", "<<: *one, seed: 4", "`variants.two` is no branch of `one`: its `seed` differs before step 40"),
        ("<<: *one", "<<: *one, betas: [0.9, 0.9]", "no branch of `one`: its recipe differs before step 40"),
        ("train_fraction: 0.5", "modulus: 17", "changes the shape of the model, which a branch must keep"),
    ],
)
def test_a_branch_that_is_none_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=re.escape(message)):
        load(tmp_path, BRANCHED.replace(old, new))


MISTAKES = {
    "an unknown metric": ("{every: 25}", "{adaptive: 3, metric: loss}", "[0].metric` = 'loss'; allowed: train_loss"),
    "an unknown device": ("seed: 3", "device: tpu", "`variants.one.device` = 'tpu'; allowed: cpu, cuda, auto"),
    "what was a twin": ("seed: 3", "twin: one", "`variants.one`: `twin` is unknown. It is called `control` now."),
    "what was a cohort": ("seed: 3", "cohort: one", "`cohort` is unknown. It is called `ensemble` now."),
    "what was graduation": ("neuron_spectra:", "graduation:", "is unknown. It is called `first_learned_step` now."),
    "a control of itself": ("seed: 3", "control: one", "`variants.one.control` = 'one'; allowed: none, for no other"),
    "a control that is not there": ("seed: 3", "control: two", "one.control` = 'two'; allowed: none, for no other"),
    "an unknown section": ("variants:", "variant:", "params.yaml: `variant` is unknown. Did you mean `variants`?"),
    "an unknown key": ("steps: 100", "stpes: 100", "`variants.one`: `stpes` is unknown. Did you mean `steps`?"),
    "an unknown family": ("modulo_addition", "modulo_adition", "`modulo_adition` is unknown. Did you mean `modulo_add"),
    "no family": ("    family: modulo_addition\n", "", "`variants.one` names no `family`; known: "),
    "a modulus that is not prime": ("modulus: 13", "modulus: 12", "`modulus` = 12; allowed: a prime from 3 to 997"),
    "a modulus that is a text": ("modulus: 13", "modulus: p", "`variants.one.modulus` = 'p' must be a whole number"),
    "half a step": ("steps: 100", "steps: 0.5", "`variants.one.steps` = 0.5 must be a whole number"),
    "no steps": ("steps: 100", "steps: 0", "`variants.one.steps` = 0; allowed: 1 to 10,000,000"),
    "a negative learning rate": ("1e-3", "-1", "`variants.one.learning_rate` = -1; allowed: 0 to 10"),
    "a seed that is true": ("seed: 3", "seed: true", "`variants.one.seed` = True must be a whole number"),
    "a fraction of one": ("seed: 3", "train_fraction: 1.0", "`train_fraction` = 1.0; allowed: above 0 and below 1"),
    "a checkpoint after the end": ("99", "101", "`variants.one.checkpoints[2]` = 101; allowed: 0 to 100"),
    "a range without a stride": ("{every: 25}", "{to: 25}", "`variants.one.checkpoints[0]` has no `every`"),
    "a schedule that is no list": ("[{every: 25}, {from: 10, to: 20, every: 5}, 99]", "25", "must be a list of steps"),
    "an unknown model key": ("seed: 3", "model: {heads: 2}", "`variants.one.model`: `heads` is unknown. Did you mean"),
    "a model key that is the task's": ("seed: 3", "model: {n_ctx: 9}", "`variants.one.model`: `n_ctx` is unknown"),
    "an unknown activation": ("seed: 3", "model: {act_fn: tanh}", "one.model.act_fn` = 'tanh'; allowed: relu"),
    "an unknown instrument": ("neuron_spectra:", "neuron_spectrum:", "`neuron_spectrum` is unknown. Did you mean"),
    "an unknown setting": ("low_frequencies", "low", "`instruments.neuron_spectra`: `low` is unknown"),
    "one variant twice": ("variants:\n", "variants:\n  one: {family: modulo_addition}\n", "key `one` occurs twice"),
    "two variants in one folder": ("instruments:", "  ONE: {family: modulo_addition}\ninstruments:", "would share"),
    "a name that is no folder": ("  one:", "  a/b:", "the name 'a/b' becomes a folder"),
    "broken YAML": ("variants:", "variants: [", "params.yaml is not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_key_the_value_and_what_is_allowed(mistake: str, tmp_path: Path) -> None:
    old, new, message = MISTAKES[mistake]
    assert old in GOOD
    with pytest.raises(MiscopeError, match=re.escape(message)) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    assert load(tmp_path, GOOD.replace("seed: 3", "seed: 4444")).variant("one").seed == 4444
