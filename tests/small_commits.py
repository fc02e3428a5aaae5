"""Commits of small networks, as `load` takes them."""

from resnet_tf import checkpoint, models
from resnet_tf.layers import named_variables


def fields(model, options, num_classes, classes, pictures):
    """Of a manifest, what `load` reads."""
    return {
        "architecture": {"model": model, "options": options, "num_classes": num_classes},
        "classes": classes,
        "preprocessing": pictures.to_json(),
        "environment": {"resnet_tf": "9.9"},
    }


def commit(folder, classes, pictures, model="cifar_resnet", change=lambda name, variable: None,
           **options):  # fmt: skip
    """A commit of step 4; `change` is called with the name and variable of each."""
    made = models.create(model, num_classes=len(classes), seed=3, **options)
    variables = named_variables(made)
    for name, variable in variables.items():
        change(name, variable)
    told = fields(model, options, len(classes), classes, pictures)
    return checkpoint.write(
        folder, 4, {f"model/{n}": v.numpy() for n, v in variables.items()}, told
    )
