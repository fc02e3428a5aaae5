import pathlib

import pytest

from resnet_tf.checkpoint import Commit
from resnet_tf.errors import UserError
from resnet_tf.evaluation import load


@pytest.mark.parametrize("architecture", [
    {"model": "a_later_network", "options": {}},
    {"model": "cifar_resnet20", "options": {"a_later_option": 1}},
])  # fmt: skip
def test_a_network_that_this_version_cannot_build_is_refused(architecture):
    manifest = {
        "architecture": {**architecture, "num_classes": 10},
        "preprocessing": {"channels": 3},
        "environment": {"resnet_tf": "9.9"},
    }
    with pytest.raises(UserError, match=r"ERROR 78: this version cannot build .* 9\.9"):
        load(Commit(pathlib.Path("step_000000001"), 1, manifest))
