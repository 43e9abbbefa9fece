"""Train one variant, or import one that was trained elsewhere: python stages/train.py VARIANT"""

from pathlib import Path

from tqdm import tqdm

from miscope.adapters.imported import ImportedText
from miscope.importing import bring_in
from miscope.training.device import device_for
from miscope.training.loop import train
from miscope.training.run import Evaluation
from miscope.workspace import configuration, files
from miscope.workspace.command import run


def main(name: str) -> None:
    declared = configuration.load(Path())
    variant = declared.variant(name)
    if isinstance(variant.family, ImportedText):
        from miscope.adapters.importing import import_variant

        found = import_variant(variant, Path())
        print(f"{name}: {found['checkpoints']} checkpoints, test loss {found['metrics']['test_loss']:.3g} at the last")
        return
    if variant.imported:
        found = bring_in(Path(), variant)
        print(f"{name}: {found['checkpoints']} checkpoints, test loss {found['metrics']['test_loss']:.3g} at the last")
        return
    peers = declared.peers(variant) if device_for(variant.recipe).gains_by_stacking else ()
    with tqdm(total=variant.recipe.steps, desc=f"train {name}", unit="step", mininterval=0.5) as bar:

        def show(evaluation: Evaluation) -> None:
            bar.set_postfix(train=f"{evaluation.train_loss:.3g}", test=f"{evaluation.test_loss:.3g}", refresh=False)
            bar.update(max(0, evaluation.step - bar.n))  # a replay for denser checkpoints goes back

        metrics = train(variant, files.folder_of(Path(), name), show, peers)["metrics"]
    print(
        f"{name}: test accuracy {metrics['test_accuracy']:.4f}, "
        f"test loss {metrics['test_loss']:.3g} after {metrics['steps']:,} steps"
    )


if __name__ == "__main__":
    run(main)
