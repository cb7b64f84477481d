"""Nothing in src/ can run code that came with data: the source is walked for every way that is known to.

Each rule is shown to fire on a planted line, so that a rule that went blind would be noticed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "modelwright"

MODULES = frozenset(
    {
        "pickle",
        "cPickle",
        "_pickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "skops",
        "jsonpickle",
        "code",
    }
)
BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})
CALLS = frozenset(
    {
        "torch.load",
        "torch.save",
        "torch.jit.load",
        "torch.hub.load",
        "torch.package.PackageImporter",
        "yaml.load",
        "yaml.load_all",
        "yaml.full_load",
        "yaml.unsafe_load",
        "numpy.save",
        "numpy.fromfile",
        "numpy.savez",
        "numpy.savez_compressed",
        "pandas.read_pickle",
        "pandas.eval",
        "os.system",
        "os.popen",
        "jinja2.Template",
        "jinja2.Environment",
        "jinja2.sandbox.SandboxedEnvironment",
        "importlib.util.spec_from_file_location",
        "runpy.run_path",
        "runpy.run_module",
        "tempfile.mktemp",
    }
)
METHODS = frozenset({"to_pickle", "read_pickle", "unsafe_load", "register_extension_type", "deserialize"})
KEYWORDS = {"allow_pickle": True, "trust_remote_code": True, "shell": True, "weights_only": False}
SHORT = {"np": "numpy", "pd": "pandas"}
FILES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".npz", ".h5", ".keras")


def offences(source: str) -> Iterator[str]:
    """What in `source` can run code that came with data, with its line."""
    tree = ast.parse(source)
    names = dict(SHORT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    harmless = {id(inner) for node in _annotations(tree) for inner in ast.walk(node)} | _safe_yaml(tree, names)
    for node in ast.walk(tree):
        if id(node) not in harmless:
            yield from (f"line {getattr(node, 'lineno', 0)}: {offence}" for offence in _of(node, names))


def _annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns


def _safe_yaml(tree: ast.AST, names: dict[str, str]) -> set[int]:
    """The places of `yaml.load` that are given the safe loader, or a subclass of it that stands in the file."""
    safe = {"yaml.SafeLoader", "yaml.CSafeLoader"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and [_dotted(base, names) for base in node.bases] == ["yaml.SafeLoader"]:
            safe.add(node.name)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loaders = {id(call.func): [*call.args[1:], *(word.value for word in call.keywords)] for call in calls}
    return {place for place, given in loaders.items() if len(given) == 1 and _dotted(given[0], names) in safe}


def _of(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        yield from (f"imports {module}" for module in modules if module.partition(".")[0] in MODULES)
    elif isinstance(node, ast.Attribute | ast.Name):
        used = _dotted(node, names)
        own = used in CALLS or used == "importlib.import_module" or used.startswith("builtins.")
        if own or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and used in BUILTINS):
            yield f"uses {used}"
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield f"uses .{node.attr}"
    elif isinstance(node, ast.keyword):
        for name, value in KEYWORDS.items():
            if node.arg == name and not (isinstance(node.value, ast.Constant) and node.value.value is not value):
                yield f"passes {name} that is not {not value}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower().endswith(FILES):
        yield f"names a file {node.value!r}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


ALLOWED = {  # they import what our own tables and installed entry points name, never what data names
    "registry.py": {"importlib.import_module"},
    "__init__.py": {"importlib.import_module"},
}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_code_comes_with_data(path: Path) -> None:
    allowed = ALLOWED.get(path.relative_to(SOURCE).as_posix(), set())
    found = [each for each in offences(path.read_text(encoding="utf-8")) if not any(name in each for name in allowed)]
    assert found == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.html")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_templates_fetch_nothing_and_mark_nothing_safe(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    for forbidden in (
        "|safe",
        "| safe",
        "autoescape false",
        "javascript:",
        " onclick=",
        " onload=",
        'src="http',
        'href="http',
    ):
        assert forbidden not in text


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib.parallel",
        "from dill import loads",
        "eval('1')",
        "f = exec",
        "import torch\ntorch.load('x')",
        "from torch import load\nload('x')",
        "import torch as t\nt.save({}, 'x')",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.load(text)",
        "import yaml\nclass L(yaml.Loader): ...\nyaml.load(text, L)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import numpy as np\nnp.save('x', y)",
        "model.from_pretrained('x', trust_remote_code=True)",
        "subprocess.run('ls', shell=True)",
        "from jinja2 import Template\nTemplate(text)",
        "import jinja2\njinja2.Environment()",
        "from importlib import import_module\nimport_module(name)",
        "import builtins\nbuiltins.eval('1')",
        "frame.to_pickle('x')",
        "path = 'model.pkl'",
        "path = folder / 'weights.pt'",
    ],
)
def test_each_rule_fires(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "import re\nre.compile('x')",
        "import torch\ntorch.compile(model)",
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nclass L(yaml.SafeLoader): ...\nyaml.load(text, L)",
        "from jinja2 import Template\ndef page() -> Template: ...",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "model.from_pretrained('x', trust_remote_code=False)",
        "from jinja2.sandbox import ImmutableSandboxedEnvironment\nImmutableSandboxedEnvironment()",
        "from safetensors.numpy import load_file, save_file\nload_file('x')",
    ],
)
def test_harmless_lines_pass(line: str) -> None:
    assert list(offences(line)) == []
