from pathlib import Path

from omegaconf import OmegaConf


def test_defaults_that_have_changed_since_are_kept_on_resume(dltrain, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    dltrain("data=csv", "data.path=t.csv", "data.target=y", "model=mlp", "epochs=1", "hydra.run.dir=r")
    config = OmegaConf.load("r/config.yaml")
    lr = config.optim.lr
    config.data.missing, config.model.dropout = "error", 0.125  # an older version's defaults
    del config.data["header"], config.optim["lr"]  # settings that it did not have
    config.data.keep = []  # and one that the yaml no longer lists
    OmegaConf.save(config, "r/config.yaml")
    outcome = dltrain("resume=r", "epochs=2")
    assert outcome.code == 4
    assert "optim.lr: None" in outcome.err  # torch's own, about whose earlier defaults nothing is known
    config.optim.lr = lr
    OmegaConf.save(config, "r/config.yaml")
    outcome = dltrain("resume=r", "epochs=2")
    assert outcome.code == 0, outcome.err
    assert "kept     data.missing=error, the run's own; the default is now auto" in outcome.out
    assert OmegaConf.load("r/config.yaml").model.dropout == 0.125
    text = Path("r/config.yaml").read_text()
    Path("r/config.yaml").write_text(text.replace("activation: relu", "activation: '${oc.env:HOME}'"))
    refused = dltrain("resume=r", "epochs=3")
    assert refused.code == 2
    assert "activation=${oc.env:HOME}" in refused.err  # text, not what it refers to


def test_a_setting_that_the_yaml_has_since_was_off(dltrain, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i * i / 7}\n" for i in range(60)))
    dltrain("t.csv", "target=y", "model=linear", "data.stratify=false", "epochs=1", "hydra.run.dir=r")
    for file in ("r/config.yaml", "r/.hydra/overrides.yaml", "r/environment.json"):
        text = Path(file).read_text()
        Path(file).write_text(text.replace("  stratify: false\n", "").replace("data.stratify=false", "seed=0"))
    outcome = dltrain("resume=r", "epochs=2")
    assert outcome.code == 0, outcome.err  # its rows are divided as they were
    assert "kept     data.stratify=False, the run's own; the default is now True" in outcome.out
