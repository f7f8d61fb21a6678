"""Requirements of a model, and the files that name them."""

from __future__ import annotations

import platform
from importlib import metadata

import yaml

from autotrack.models import requirements


def test_modules_become_pinned_distributions() -> None:
    """Packages are named by their distribution and version; Python's own and the user's are left out."""
    modules = ["sklearn.tree._tree", "numpy", "yaml.loader", "builtins", "collections", "__main__", "no_such_project.a"]
    assert requirements.requirements_of(modules, ["skops", "not-installed-at-all"]) == sorted(
        [
            f"numpy=={metadata.version('numpy')}",
            f"pyyaml=={metadata.version('pyyaml')}",
            f"scikit-learn=={metadata.version('scikit-learn')}",
            f"skops=={metadata.version('skops')}",
            "not-installed-at-all",
        ]
    )


def test_a_package_is_found_by_what_its_distribution_holds() -> None:
    """A top-level package whose distribution has another name, which no table knows."""
    assert requirements.distribution_of("imblearn") == "imbalanced-learn"


def test_local_version_labels_are_left_out() -> None:
    """`2.13.0+cpu` stands on no index; the version without its label does."""
    assert "+" not in (requirements.installed_version("torch") or "")


def test_the_files_are_those_that_environment_managers_read() -> None:
    """requirements.txt, python_env.yaml and conda.yaml have the keys of MLflow's."""
    files = requirements.files_of(["numpy==1", "skops"])
    assert files["requirements.txt"] == b"numpy==1\nskops\n"
    python_env = yaml.safe_load(files["python_env.yaml"])
    assert python_env["python"] == platform.python_version()
    assert python_env["dependencies"] == ["-r requirements.txt"]
    assert {line.partition("==")[0] for line in python_env["build_dependencies"]} == {"pip", "setuptools", "wheel"}
    conda = yaml.safe_load(files["conda.yaml"])
    assert conda["channels"] == ["conda-forge"]
    assert conda["dependencies"][0] == f"python={platform.python_version()}"
    assert conda["dependencies"][2] == {"pip": ["numpy==1", "skops"]}
