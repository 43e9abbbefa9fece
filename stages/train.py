"""Train one variant, or bring in one that was trained elsewhere: python stages/train.py VARIANT"""

from pathlib import Path

from tqdm import tqdm

from miscope.imports import bring_in, is_imported
from miscope.training.device import device_for
from miscope.training.loop import train
from miscope.training.trainer import Evaluation
from miscope.workspace import Workspace
from miscope.workspace.command import run


def main(name: str) -> None:
    workspace = Workspace(Path())
    variant = workspace.config.variant(name)
    if is_imported(variant):
        record = bring_in(workspace, variant)
        loss = record["metrics"]["test_loss"]
        print(f"{name}: {record['checkpoints']} checkpoints, test loss {loss:.3g} at the last")
        return
    members = workspace.config.ensemble_members(variant) if device_for(variant.recipe).gains_by_stacking else ()
    with tqdm(total=variant.recipe.steps, desc=f"train {name}", unit="step", mininterval=0.5) as bar:

        def show(evaluation: Evaluation) -> None:
            bar.set_postfix(train=f"{evaluation.train_loss:.3g}", test=f"{evaluation.test_loss:.3g}", refresh=False)
            bar.update(max(0, evaluation.step - bar.n))  # a replay for denser checkpoints goes back

        record = train(variant, workspace.folder(name), show, members, tqdm.write)
    metrics = record["metrics"]
    if "warning" in record:
        print(f"{name}: {record['warning']}")
    print(
        f"{name}: test accuracy {metrics['test_accuracy']:.4f}, "
        f"test loss {metrics['test_loss']:.3g} after {metrics['steps']:,} steps"
    )


if __name__ == "__main__":
    run(main)
