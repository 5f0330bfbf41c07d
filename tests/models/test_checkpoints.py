from pathlib import Path

import numpy as np
import pytest
import torch

from models.body_model import BodyModel, read_mean_parameters
from models.checkpoints import (
    load_predictor,
    load_regressor,
    read_checkpoint,
    read_network_options,
)
from models.options import NetworkOptions
from models.refinement import Refiner
from models.regressor import Regressor
from tests.networks import random_network, stored_options
from tests.observations import random_observation
from utils.errors import InputError


@pytest.fixture(scope="module")
def regressor():
    return Regressor(read_mean_parameters("open"), 18).eval()


def _ours(regressor, body_model, **changes):
    mean = read_mean_parameters("open")
    return {
        "epoch": 7,
        "best_epoch": 5,
        "best_model_state_dict": regressor.state_dict(),
        "body": body_model.identity,
        "mean_parameters": {"pose": mean.pose, "betas": mean.betas},
        "image_size": 128,
        **changes,
    }


def test_half_precision_weights_predict_the_same(tmp_path, regressor, body_model):
    halves = {
        name: values.half() if values.is_floating_point() else values
        for name, values in regressor.state_dict().items()
    }
    torch.save(_ours(regressor, body_model, best_model_state_dict=halves), tmp_path / "c.tar")
    predictor = load_predictor(tmp_path / "c.tar", torch.device("cpu"))
    assert predictor.image_size == 128
    assert predictor.epoch == 5
    assert not predictor.regressor.training
    observation = random_observation(2)
    expected, found = regressor(observation), predictor.regressor(observation)
    torch.testing.assert_close(found.betas, expected.betas, atol=2e-3, rtol=0)


def test_published_format_with_numpy_scalars(tmp_path, regressor, licensed_set):
    """No body identity, no options, metrics as numpy scalars: as the released code wrote them."""
    published = {
        "epoch": 3,
        "best_epoch": 2,
        "best_epoch_val_metrics": {"pves": np.float64(90.5), "mpjpes": np.float32(80)},
        "model_state_dict": regressor.state_dict(),
        "best_model_state_dict": regressor.state_dict(),
        "optimiser_state_dict": {},
        "criterion_state_dict": {},
    }
    path = tmp_path / "published.tar"
    torch.save(published, path)
    names = read_checkpoint(path)["best_model_state_dict"]
    assert "ief_module.fc1.weight" in names
    assert "ief_module.ief_layers.0.weight" in names
    assert read_checkpoint(path)["best_epoch_val_metrics"]["pves"] == 90.5
    predictor = load_predictor(path, torch.device("cpu"), additional=licensed_set)
    for name, values in regressor.state_dict().items():
        assert torch.equal(predictor.regressor.state_dict()[name], values), name
    assert predictor.body_model.identity["name"] == "smpl"
    assert predictor.body_model.identity["gender"] == "neutral"
    assert predictor.image_size == 256
    assert predictor.regressor.proxy_rule == "published"
    assert read_network_options(_ours(regressor, predictor.body_model), path).proxy == "own"
    female = load_predictor(path, torch.device("cpu"), gender="female", additional=licensed_set)
    assert female.body_model.identity["gender"] == "female"


def test_another_proxy_rule_can_be_asked_for(tmp_path, regressor, body_model):
    torch.save(_ours(regressor, body_model), tmp_path / "own.tar")
    torch.save(
        _ours(regressor, body_model, options={"model": {"proxy": "published"}}),
        tmp_path / "published.tar",
    )
    cpu = torch.device("cpu")
    for name in ("own", "published"):
        path = tmp_path / f"{name}.tar"
        assert load_predictor(path, cpu).proxy_rule == name
        for rule in ("own", "published"):
            predictor = load_predictor(path, cpu, proxy=rule)
            assert predictor.proxy_rule == predictor.regressor.proxy_rule == rule
    network = random_network("feedback", body_model)
    stored = _ours(network, body_model, options=stored_options("feedback"))
    torch.save(stored, tmp_path / "feedback.tar")
    assert load_predictor(tmp_path / "feedback.tar", cpu, proxy="own").proxy_rule == "own"
    with pytest.raises(InputError, match=r"not as heatmaps; leave out --proxy published"):
        load_predictor(tmp_path / "feedback.tar", cpu, proxy="published")


@pytest.mark.parametrize("params_from", ["silhouettes", "joints"])
def test_channels_of_a_published_checkpoint_are_seen_in_its_weights(params_from):
    mean = read_mean_parameters("open")
    weights = Regressor(mean, 50, params_from=params_from).state_dict()
    found = read_network_options({"best_model_state_dict": weights}, Path("published.tar"))
    assert found == NetworkOptions(resnet_layers=50, proxy="published", params_from=params_from)


def test_a_gender_is_known_of_people_or_is_the_bodys(tmp_path, regressor, body_model):
    torch.save(_ours(regressor, body_model), tmp_path / "c.tar")
    predictor = load_predictor(tmp_path / "c.tar", torch.device("cpu"), gender="male")
    assert predictor.known_gender == "male"
    assert predictor.body_model.identity == body_model.identity
    torch.save(_ours(regressor, BodyModel.load("open", "female")), tmp_path / "woman.tar")
    with pytest.raises(InputError, match=r"trained for the body open/female .* open/male"):
        load_predictor(tmp_path / "woman.tar", torch.device("cpu"), gender="male")


def test_feedback_iterations_are_those_of_training(tmp_path, regressor, body_model):
    options = {"model": {"ief_iterations": 2}}
    torch.save(_ours(regressor, body_model, options=options), tmp_path / "c.tar")
    predictor = load_predictor(tmp_path / "c.tar", torch.device("cpu"))
    assert predictor.regressor.ief_module.iterations == 2


def test_rounds_of_feedback_can_be_chosen(tmp_path, regressor, body_model):
    network = random_network("feedback", body_model)
    stored = _ours(network, body_model, options=stored_options("feedback"), rounds=0)
    torch.save(stored, tmp_path / "c.tar")
    cpu = torch.device("cpu")
    assert load_predictor(tmp_path / "c.tar", cpu).regressor.rounds == 0  # as validated best
    assert load_predictor(tmp_path / "c.tar", cpu, rounds=4).regressor.rounds == 4
    with pytest.raises(InputError, match="--rounds is -1; expected 0 or more"):
        load_predictor(tmp_path / "c.tar", cpu, rounds=-1)
    torch.save(_ours(regressor, body_model), tmp_path / "published.tar")
    with pytest.raises(InputError, match=r"published.tar holds a network without rounds"):
        load_predictor(tmp_path / "published.tar", cpu, rounds=2)


def test_a_network_for_more_betas_than_the_body_has_is_named(tmp_path, body_model):
    stored = _ours(random_network("feedback", body_model), body_model)
    stored["options"] = {"model": {"regressor": "feedback", "feedback": {"betas": 300}}}
    torch.save(stored, tmp_path / "c.tar")
    with pytest.raises(InputError, match=r"c.tar .* estimates 300 betas, but this body has 40"):
        load_predictor(tmp_path / "c.tar", torch.device("cpu"))


def test_refinement_needs_to_know_how_the_network_errs(tmp_path, regressor, body_model):
    def load(**changes):
        network = random_network("feedback", body_model)
        stored = _ours(network, body_model, options=stored_options("feedback"), **changes)
        torch.save(stored, tmp_path / "c.tar")
        return load_predictor(tmp_path / "c.tar", torch.device("cpu"), refine=True)

    known = load(error_covariance=torch.eye(87))
    assert isinstance(known.regressor, Refiner)
    assert not known.regressor.training
    assert not isinstance(load().regressor, Refiner)
    with pytest.raises(InputError, match=r"error_covariance is not a tensor of shape \(87, 87\)"):
        load(error_covariance=torch.eye(3))
    torch.save(_ours(regressor, body_model), tmp_path / "published.tar")
    published = load_predictor(tmp_path / "published.tar", torch.device("cpu"), refine=True)
    assert not isinstance(published.regressor, Refiner)


def test_another_body_is_refused_by_name(tmp_path, regressor, body_model):
    identity = {**body_model.identity, "hash": "0" * 16}
    torch.save(_ours(regressor, body_model, body=identity), tmp_path / "c.tar")
    with pytest.raises(InputError, match=r"trained for the body open/neutral .*0{16}.* at hand is"):
        load_predictor(tmp_path / "c.tar", torch.device("cpu"))


def test_files_that_are_no_checkpoints(tmp_path, regressor, body_model):
    with pytest.raises(InputError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.tar")
    (tmp_path / "text.tar").write_text("hello")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "text.tar")
    torch.save({"epoch": 1}, tmp_path / "empty.tar")
    with pytest.raises(InputError, match="neither best_model_state_dict nor model_state_dict"):
        read_checkpoint(tmp_path / "empty.tar")
    torch.save(_ours(regressor, body_model)["best_model_state_dict"], tmp_path / "bare.tar")
    with pytest.raises(InputError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "bare.tar")


def _spoilt(regressor, **changes):
    return {**regressor.state_dict(), **changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"options": None}, "options is damaged: found a NoneType, expected values by name"),
        ({"options": {"model": {"ief_iterations": 10**9}}}, "options is damaged: ief_iterations"),
        ({"options": {"model": 3}}, "options is damaged: model is 3, expected options by name"),
        ({"image_size": 0}, "image_size is damaged: found 0, expected a whole number from 8"),
        ({"image_size": 20_000}, "image_size is damaged: found 20000, expected a whole number"),
        ({"image_size": "64"}, "image_size is damaged: found str, expected a whole number"),
        ({"epoch": -1}, "epoch is damaged: found -1, expected a whole number from 0"),
        ({"best_epoch": None}, "best_epoch is damaged: found NoneType"),
        ({"samples_seen": 10**5000}, "samples_seen is damaged: found int"),
        ({"rounds": 10**9}, "rounds is damaged: found 1000000000"),
        ({"best_model_state_dict": [1, 2]}, "best_model_state_dict is damaged: it holds no dict"),
        ({"best_model_state_dict": {"a": "b"}}, "best_model_state_dict is damaged: 'a' names no"),
        ({"model_state_dict": {3: torch.ones(1)}}, "model_state_dict is damaged: '3' names no"),
        ({"model_state_dict": {"a": torch.tensor(np.nan)}}, "a has values that are not finite"),
        ({"mean_parameters": {"pose": torch.ones(3)}}, "mean_parameters is damaged: expected pose"),
        ({"mean_parameters": 7}, "mean_parameters is damaged"),
        ({"body": {"name": "open"}}, "body is damaged: expected name, gender"),
        ({"history": {"a": 1}}, "history is damaged: found a dict, expected a list"),
        ({"history": [[1]]}, "history is damaged: found a list, expected values by name"),
        ({"best_epoch_val_metrics": {"a": "b"}}, "best_epoch_val_metrics is damaged"),
        ({"optimiser_state_dict": 5}, "optimiser_state_dict is damaged"),
        ({"error_covariance": torch.full((3, 3), np.inf)}, "error_covariance is damaged"),
    ],
)
def test_every_content_is_checked_when_it_is_read(tmp_path, regressor, body_model, changes, told):
    torch.save(_ours(regressor, body_model, **changes), tmp_path / "c.tar")
    with pytest.raises(InputError, match=rf"c\.tar: .*{told}") as refused:
        read_checkpoint(tmp_path / "c.tar")
    assert len(str(refused.value).splitlines()) == 1


def test_weights_that_are_too_many_or_not_numbers(tmp_path, regressor, body_model):
    for weights, told in (
        (_spoilt(regressor, extra=torch.ones(1)), "1 of its weights are not part of it, extra"),
        (_spoilt(regressor, **{"image_encoder.conv1.weight": torch.ones(2, 18, 7, 7)}), "expected"),
    ):
        with pytest.raises(InputError, match=told):
            load_regressor(
                _ours(regressor, body_model, best_model_state_dict=weights), body_model, tmp_path
            )


def test_any_file_is_refused_without_advice_to_run_it(tmp_path):
    for name, content in (("text", b"root:x:0:0:root"), ("web", b"<html>"), ("zip", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is not a readable checkpoint") as refused:
            read_checkpoint(tmp_path / name)
        assert "weights_only" not in str(refused.value)
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_checkpoint(tmp_path)


def test_weights_that_do_not_fit(tmp_path, regressor, body_model):
    weights = dict(regressor.state_dict())
    weights.pop("image_encoder.conv1.weight")
    with pytest.raises(InputError, match=r"image_encoder\.conv1\.weight"):
        load_regressor(
            _ours(regressor, body_model, best_model_state_dict=weights), body_model, tmp_path
        )
    with pytest.raises(InputError, match="ResNet-18 or ResNet-50"):
        load_regressor(
            _ours(regressor, body_model, best_model_state_dict={"a": torch.ones(2)}),
            body_model,
            tmp_path,
        )


class _Attack:
    def __reduce__(self):
        return (print, ("the file ran code",))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path, capsys):
    torch.save({"model_state_dict": _Attack()}, tmp_path / "evil.tar")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "evil.tar")
    assert "the file ran code" not in capsys.readouterr().out
