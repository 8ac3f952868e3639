"""The laws of the house, read from its source: each rule is a function over sources, and is shown failing first."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
RANKS = {"core": 0, "envs": 1, "nets": 1, "rl": 2, "methods": 2, "engine": 3, "store": 4, "analysis": 4, "commands": 5}
DOORS = {"gymnax": "envs", "flax": "nets", "optax": "methods", "optuna": "engine"}
ARRAYS_ON_DEVICES = {"jax", "jaxlib", "flax", "optax", "chex", "gymnax", "orbax"}
WITHOUT_JAX = ("jaxrl_ft", "jaxrl_ft.store.bundle", "jaxrl_ft.store.run_directory")
EXECUTABLE_FORMATS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch"}
PHYSICS = {"gravity", "masscart", "masspole", "total_mass", "length", "polemass_length", "force_mag", "tau",
           "theta_threshold_radians", "x_threshold", "max_steps_in_episode"}  # fmt: skip
PUBLIC = {"pretrain", "finetune", "evaluate", "compare", "wrap", "save", "load", "make_task"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


class Source(NamedTuple):
    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return ".".join(Path(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def layer(self) -> str:
        return layer(self.name)


def sources(files: dict[str, str]) -> list[Source]:
    return [Source(path, text, ast.parse(text if path.endswith(".py") else "")) for path, text in files.items()]


def layer(dotted: str) -> str:
    part = [*dotted.split("."), ""][1]
    return part if part in RANKS else "commands"


def imports(source: Source, top: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported: by statement, relatively, or by `import_module` of a literal."""
    package = source.name.split(".") if source.path.endswith("__init__.py") else source.name.split(".")[:-1]
    for node in ast.walk(top or source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield from ((node.lineno, a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def functions(node: ast.AST, public: bool = True) -> Iterator[tuple[Function, bool, bool]]:
    """Every function with whether it is public and whether it is a method."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTION, ast.ClassDef)):
            shown = public and not child.name.startswith("_")
            if isinstance(child, FUNCTION):
                yield child, shown, isinstance(node, ast.ClassDef)
            yield from functions(child, shown and isinstance(child, ast.ClassDef))
        else:
            yield from functions(child, public)


def arrows_point_down(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for line, name in imports(source):
            inside = name.split(".")[0] == "jaxrl_ft" and layer(name) != source.layer
            if inside and RANKS[layer(name)] >= RANKS[source.layer]:
                yield f"{source.path}:{line}: {source.layer} imports {name}"


def one_door_per_library(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for line, name in imports(source):
            if DOORS.get(name.split(".")[0], source.layer) != source.layer:
                yield f"{source.path}:{line}: {name} has its one door in {DOORS[name.split('.')[0]]}"


def analysis_and_the_front_door_stay_off_jax(tree: list[Source]) -> Iterator[str]:
    """Through every chain of imports at module level, packages on the way included."""
    by_name = {source.name: source for source in tree}
    for start in tree:
        if start.layer != "analysis" and start.name not in WITHOUT_JAX:
            continue
        seen, todo = set(), [start.name]
        while todo:
            name = todo.pop()
            prefixes = [name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1)]
            for source in (by_name[p] for p in prefixes if p in by_name and p not in seen):
                seen.add(source.name)
                tops = [source.tree] if source.layer == "analysis" else source.tree.body
                tops = [top for top in tops if not isinstance(top, (*FUNCTION, ast.ClassDef)) and not for_types(top)]
                found = [(line, target) for top in tops for line, target in imports(source, top)]
                yield from (f"{start.path}: reaches jax by {source.path}:{line}" for line, target in found
                            if target.split(".")[0] in ARRAYS_ON_DEVICES)  # fmt: skip
                todo += [target for _, target in found]


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def nothing_executable_is_stored_or_run(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        yield from (f"{source.path}:{line}: imports {name}" for line, name in imports(source)
                    if name.split(".")[0] in EXECUTABLE_FORMATS)  # fmt: skip
        for node in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
            builtin = isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "compile", "__import__")
            system = called(node) in ("system", "popen") and isinstance(node.func, ast.Attribute)
            flags = [k.arg for k in node.keywords if k.arg in ("shell", "allow_pickle")]
            if builtin or system or flags:
                yield f"{source.path}:{node.lineno}: calls {called(node)} {' '.join(map(str, flags))}"


def functions_are_short(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for node, _, _ in functions(source.tree):
            said = node.body[0] if ast.get_docstring(node) is not None else None
            length = node.end_lineno - node.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)
            if length > 50:
                yield f"{source.path}:{node.lineno}: {node.name} has {length} lines without its docstring, 50 at most"


def at_most_one_nested_def(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for node, _, _ in functions(source.tree):
            nested = sum(isinstance(child, FUNCTION) for child in ast.walk(node)) - 1
            if nested > 1:
                yield f"{source.path}:{node.lineno}: {node.name} has {nested} nested defs, 1 at most"


def files_are_short(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if len(source.text.splitlines()) >= 300:
            yield f"{source.path}: {len(source.text.splitlines())} lines, under 300 allowed"


def everything_public_has_a_docstring(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        classes = [n for n in ast.walk(source.tree) if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        for node in [*classes, *(node for node, public, _ in functions(source.tree) if public)]:
            if not (ast.get_docstring(node) or "").strip():
                yield f"{source.path}:{node.lineno}: {node.name} has no docstring"


def everything_is_annotated(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for node, _, method in functions(source.tree):
            static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
            ordered = [*node.args.posonlyargs, *node.args.args][1 if method and not static else 0 :]
            stars = [star for star in (node.args.vararg, node.args.kwarg) if star]
            bare = [a.arg for a in [*ordered, *node.args.kwonlyargs, *stars] if a.annotation is None]
            if bare or node.returns is None:
                yield f"{source.path}:{node.lineno}: {node.name} leaves bare: {', '.join(bare) or 'its return'}"


def comments(source: Source) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#!: ")


def nothing_is_left_undone(tree: list[Source]) -> Iterator[str]:
    pattern = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    for source in tree:
        for line, text in enumerate(source.text.splitlines(), 1):
            if pattern.search(text):
                yield f"{source.path}:{line}: {text.strip()}"


def no_code_is_commented_out(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        yield from (f"{source.path}:{line}: {text}" for line, text in comments(source) if is_code(text))


def is_code(text: str) -> bool:
    opening = re.match(r"(if|for|while|def|class|with)\b.*:$", text)
    try:
        nodes = ast.parse(f"{text} pass" if opening else text).body
    except SyntaxError:
        return bool(re.match(r"(elif\b.*|else|try|except\b.*|finally):$", text))
    statements = (ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.Return, ast.Assert, ast.Delete)
    calls = [n for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    valued = [n for n in nodes if isinstance(n, ast.AnnAssign) and n.value is not None]
    return bool(opening or calls or valued or any(isinstance(n, statements) for n in nodes))


def no_module_is_named_like_a_public_function(tree: list[Source]) -> Iterator[str]:
    taken = PUBLIC | {name for s in tree if s.name == "jaxrl_ft" for name in public_names(s)}
    yield from (f"{s.path}: importing it would replace a public function" for s in tree if Path(s.path).stem in taken)


def public_names(front: Source) -> Iterator[str]:
    """Names in the lists and dict keys at the top of the package's front: its public table, however it is laid out."""
    for node in (n for n in front.tree.body if isinstance(n, (ast.Assign, ast.AnnAssign)) and n.value):
        for table in ast.walk(node.value):
            names = {ast.Dict: "keys", ast.List: "elts", ast.Tuple: "elts", ast.Set: "elts"}.get(type(table), "")
            for name in getattr(table, names, []) if names else []:
                if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.islower():
                    yield name.value


def no_path_of_a_machine(tree: list[Source]) -> Iterator[str]:
    pattern = re.compile(r"(?<![\w.}>)-])/(ho" + r"me|ro" + r"ot|tm" + r"p|wo" + r"rk|op" + r"t|mn" + r"t|Us" + r"ers)/"
                         r"|inde" + r"x-url|simpl" + r"e/")  # fmt: skip
    for source in tree:
        for line, text in enumerate(source.text.splitlines(), 1):
            if pattern.search(text):
                yield f"{source.path}:{line}: {text.strip()}"


def physics_is_built_in_one_place(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and source.layer != "envs":
                names = PHYSICS & {str(k.arg) for k in node.keywords} if called(node) in ("replace", "_replace") else {}
                if names or called(node) == "EnvParams":
                    yield f"{source.path}:{node.lineno}: edits or builds env_params: {called(node)} {' '.join(names)}"


SHOWN_FAILING = {
    arrows_point_down: [
        ("core/a.py", "from jaxrl_ft.nets import b"),
        ("rl/a.py", "import jaxrl_ft.methods.b"),
        ("methods/a.py", "from jaxrl_ft import rl"),
        ("nets/a.py", "from ..envs import b"),
        ("engine/a.py", "def f():\n    from jaxrl_ft.store import b"),
        ("engine/a.py", "import_module('jaxrl_ft.analysis.b')"),
        ("store/a.py", "import jaxrl_ft"),
        ("analysis/a.py", "from jaxrl_ft.train import main"),
        ("envs/__init__.py", "from ..rl.b import c"),
    ],
    one_door_per_library: [
        ("rl/a.py", "import optax"),
        ("engine/a.py", "from flax import linen"),
        ("train.py", "def f():\n    import gymnax.environments"),
    ],
    analysis_and_the_front_door_stay_off_jax: [
        ("analysis/a.py", "def f():\n    import jax.numpy"),
        ("analysis/a.py", "from flax import struct"),
        ("__init__.py", "import jax"),
        ("store/bundle.py", "if True:\n    import jax"),
        ("analysis/a.py", "if TYPE_CHECKING:\n    import jax"),
        ("analysis/a.py", "from jaxrl_ft.core.deep import c"),
        ("__init__.py", "from jaxrl_ft.core import deep"),
    ],
    nothing_executable_is_stored_or_run: [
        ("a.py", "import pickle"),
        ("a.py", "from cloudpickle import dumps"),
        ("a.py", "eval('1')"),
        ("a.py", "exec(text)"),
        ("a.py", "np.load(path, allow_pickle=True)"),
        ("a.py", "subprocess.run(text, shell=True)"),
        ("a.py", "os.system(text)"),
        ("a.py", "import torch"),
    ],
    functions_are_short: [("a.py", "def f():\n" + "    x = 1\n" * 50)],
    at_most_one_nested_def: [
        ("a.py", "def f():\n    def g(): ...\n    def h(): ..."),
        ("a.py", "class A:\n    def f(self):\n        def g():\n            def h(): ..."),
    ],
    files_are_short: [("a.py", "\n" * 300)],
    everything_public_has_a_docstring: [
        ("a.py", "def f(): ..."),
        ("a.py", "class A: ..."),
        ("a.py", "class A:\n    'Text.'\n    def f(self): ..."),
        ("a.py", "if True:\n    def f(): ''"),
    ],
    everything_is_annotated: [
        ("a.py", "def f(x) -> int: ..."),
        ("a.py", "def f(): ..."),
        ("a.py", "def f(*x, **y: int) -> int: ..."),
        ("a.py", "class A:\n    def f(self, *, x) -> int: ..."),
        ("a.py", "def f() -> int:\n    def g(x) -> int: ..."),
        ("a.py", "class A:\n    @staticmethod\n    def f(x) -> int: ..."),
    ],
    nothing_is_left_undone: [("a.py", "# TO" + "DO: later"), ("a.py", "x = 1  # FIX" + "ME")],
    no_code_is_commented_out: [
        ("a.py", "# x = f(y)"),
        ("a.py", "x = 1  # print(x)"),
        ("a.py", "# for x in y:"),
        ("a.py", "# else:"),
        ("a.py", "# return x"),
        ("a.py", "#import jax"),
    ],
    no_module_is_named_like_a_public_function: [
        ("engine/finetune.py", ""),
        ("save.py", ""),
        ("sorcery.py", ""),
    ],
    no_path_of_a_machine: [
        ("a.py", "x = '/ho" + "me/me/runs'"),
        ("README.md", "Logs go to /tm" + "p/logs."),
        ("README.md", "pip install --inde" + "x-url x"),
        ("a.py", "# see /ro" + "ot/x"),
    ],
    physics_is_built_in_one_place: [
        ("engine/a.py", "params.replace(masspole=1.0)"),
        ("rl/a.py", "dataclasses.replace(params, length=1.0)"),
        ("methods/a.py", "cartpole.EnvParams()"),
    ],
}
FRONT = (
    "__init__.py",
    "if TYPE_CHECKING:\n    from jaxrl_ft.rl import ppo\n"
    "_TABLE = {'sorcery': 'engine.b', 'PPO': 'rl.ppo'}\n__all__ = ['make_task']",
)
LAWFUL = {
    "core/deep.py": "import jax\nfrom typing import Any\n",
    "envs/cartpole.py": "import gymnax\nfrom jaxrl_ft.core import x\nX = gymnax.EnvParams().replace(masspole=1.0)\n",
    "methods/adapters.py": "import optax\nfrom ..nets import mlp\nfrom . import method\n",
    "store/a.py": "from jaxrl_ft.engine import loop\nimport numpy as np\nx = np.load(path)\n",
    "analysis/a.py": "import numpy as np\nfrom jaxrl_ft.analysis.b import c\n",
    "rl/ppo.py": "import jax\nx = text.replace('a', 'b')\ny = [1]  # [T, N]\n# Why: a reason.\n# note: x\n# noqa: D1\n",
    "engine/loop.py": 'def f(x: int, *y: int) -> int:\n    """Text.\n' + "\n" * 60 + '    """\n' + "    x = 1\n" * 48,
    "engine/b.py": "class _A:\n    def __call__(self) -> int:\n        if 1:\n            def f(x: int) -> int: ...\n",
    "train.py": "from jaxrl_ft.store import a\nfrom jaxrl_ft.analysis import b\nprogram.lower().compile()\n",
    FRONT[0]: FRONT[1],
    "README.md": "See https://example.com/work/x and path/to/tmp/x.",
}


def house() -> list[Source]:
    paths = sorted((ROOT / "jaxrl_ft").rglob("*.py"))
    return sources({str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths})


def surroundings() -> list[Source]:
    """Everything else that is read by people or run by machines, tests apart."""
    folders = [p for name in ("experiments", ".ci") for p in (ROOT / name).rglob("*") if "__pycache__" not in p.parts]
    kinds = (".py", ".md", ".toml", ".sh", "")
    paths = [p for p in [*folders, *ROOT.glob("*.*")] if p.is_file() and p.suffix in kinds]
    return sources({str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths})


@pytest.mark.parametrize("rule", SHOWN_FAILING, ids=lambda rule: rule.__name__)
def test_rule_fails_where_it_should_and_only_there(rule):
    for path, text in SHOWN_FAILING[rule]:
        files = {f"jaxrl_ft/{name}": lawful for name, lawful in [FRONT, ("core/deep.py", LAWFUL["core/deep.py"])]}
        assert list(rule(sources(files | {f"jaxrl_ft/{path}": text}))), text
    assert list(rule(sources({f"jaxrl_ft/{path}": text for path, text in LAWFUL.items()}))) == []


@pytest.mark.parametrize("rule", SHOWN_FAILING, ids=lambda rule: rule.__name__)
def test_the_house_obeys(rule):
    assert list(rule(house())) == []


def test_no_path_of_a_machine_anywhere():
    assert list(no_path_of_a_machine(surroundings())) == []


def test_every_layer_is_there():
    assert {source.layer for source in house()} >= set(RANKS) - {"commands"}
