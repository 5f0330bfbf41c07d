"""Small networks of every kind, for tests that train or predict."""

from dataclasses import asdict
from pathlib import Path

import torch

from models.body_model import BodyModel, read_mean_parameters
from models.feedback import FeedbackRegressor
from models.networks import Network, build_network
from models.options import FeedbackOptions, NetworkOptions

NETWORKS = {
    "published": NetworkOptions(),
    "feedback": NetworkOptions(
        regressor="feedback",
        feedback=FeedbackOptions(
            rounds=2, width=32, lifting_blocks=1, correcting_blocks=1, vertices=40, betas=12
        ),
    ),
}


def random_network(name: str, body_model: BodyModel) -> Network:
    """One of `NETWORKS` for the open body, whose estimates depend on what it sees."""
    torch.manual_seed(0)
    network = build_network(NETWORKS[name], read_mean_parameters("open"), body_model)
    if isinstance(network, FeedbackRegressor):  # untrained, it says the mean of everybody
        for perceptron in (network.lifting, network.correcting):
            torch.nn.init.normal_(perceptron.last.weight, std=0.01)
    return network


def stored_options(name: str) -> dict:
    """The part of a run's options that a checkpoint of one of `NETWORKS` needs."""
    return {"model": asdict(NETWORKS[name])}


def write_checkpoint(path: Path, network: str) -> Path:
    """A checkpoint of one of `NETWORKS` that was never trained."""
    body = BodyModel.load()
    torch.save(
        {
            "model_state_dict": random_network(network, body).state_dict(),
            "options": stored_options(network),
            "body": body.identity,
            "image_size": 64,
            "mean_parameters": read_mean_parameters()._asdict(),
        },
        path,
    )
    return path
