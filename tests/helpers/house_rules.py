"""The laws of the house: each rule is a function from sources to what breaks it, in words."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RANKS = {"core": 0, "envs": 1, "nets": 1, "analysis": 1, "rl": 2, "methods": 2, "defaults": 3, "training": 4,
         "store": 5, "sweeps": 6, "advice": 7, "deploy": 7, "commands": 8}  # fmt: skip
DOORS = {"gymnax": "envs", "flax": "nets", "optax": "methods", "optuna": "sweeps", "ray": "sweeps",
         "tensorboardX": "store", "wandb": "store", "mlflow": "store"}  # fmt: skip
ARRAYS_ON_DEVICES = {"jax", "jaxlib", "flax", "optax", "chex", "gymnax", "orbax"}
WITHOUT_JAX = ("jaxrl_ft", "jaxrl_ft.core.bundle", "jaxrl_ft.store.run_directory")
EXECUTABLE_FORMATS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "torch"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
RUNS_COMMANDS = {"system", "popen", "getoutput", "getstatusoutput", "read_pickle", "to_pickle"}
SAFE_YAML = {"safe_load", "safe_load_all", "safe_dump", "safe_dump_all"}
PHYSICS = {"gravity", "masscart", "masspole", "total_mass", "length", "polemass_length", "force_mag", "tau",
           "theta_threshold_radians", "x_threshold", "max_steps_in_episode"}  # fmt: skip
PUBLIC = {"pretrain", "finetune", "evaluate", "compare", "wrap", "save", "load", "make_task"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
NAMED_TUPLE = {"_replace", "_make", "_asdict", "_fields"}
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
    return [
        Source(path, text, ast.parse(text if path.endswith((".py", ".pyi")) else "")) for path, text in files.items()
    ]


def layer(dotted: str) -> str:
    part = [*dotted.split("."), ""][1]
    return part if part in RANKS and not dotted.endswith(".__main__") else "commands"


def imports(source: Source, top: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported: by statement, relatively, or by `import_module` of a literal."""
    package = source.name.split(".") if "__init__.py" in source.path else source.name.split(".")[:-1]
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
    by_name = {source.name: source for source in tree if not is_stub(source)}
    for start in by_name.values():
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
        yaml = {name for _, name in imports(source) if name.split(".")[0] == "yaml"}
        yield from (
            f"{source.path}: imports {name}" for name in sorted(yaml - {"yaml"} - {f"yaml.{n}" for n in SAFE_YAML})
        )
        for node in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            text = called(node) in RUNS_TEXT and owner in ("", "builtins")
            loose = owner == "yaml" and called(node) not in SAFE_YAML
            flags = [k.arg for k in node.keywords if k.arg in ("shell", "allow_pickle")]
            if text or loose or flags or called(node) in RUNS_COMMANDS:
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


def rooms_are_small(tree: list[Source]) -> Iterator[str]:
    """A folder holds 14 modules at most, its `__init__` apart."""
    folders = Counter(str(Path(source.path).parent) for source in tree if not source.path.endswith("__init__.py"))
    yield from (f"{folder}: {num} modules, 14 at most" for folder, num in folders.items() if num > 14)


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
    yield from lines_with(re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"), tree)


def lines_with(pattern: re.Pattern[str], tree: list[Source]) -> Iterator[str]:
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
    taken = PUBLIC | {name for source in tree if is_stub(source) for _, name in imports(source)}
    taken = {name.split(".")[-1] for name in taken}
    children = (s for s in tree if s.name.count(".") == 1)
    yield from (f"{s.path}: importing it would replace a public function" for s in children
                if s.name.split(".")[1] in taken)  # fmt: skip


def is_stub(source: Source) -> bool:
    """Whether it lists the public names, which are imported on first use."""
    return source.path.endswith(".pyi")


def no_path_of_a_machine(tree: list[Source]) -> Iterator[str]:
    pattern = re.compile(r"(?<![\w.}>)-])/(ho" + r"me|ro" + r"ot|tm" + r"p|wo" + r"rk|op" + r"t|mn" + r"t|Us" + r"ers)/"
                         r"|inde" + r"x-url|simpl" + r"e/")  # fmt: skip
    yield from lines_with(pattern, tree)


def parts_are_asked_what_they_need(tree: list[Source]) -> Iterator[str]:
    """Training and sweeps ask a part of a method, or an algorithm, for its attributes, never which class it is."""
    for source in (source for source in tree if source.layer in ("training", "sweeps")):
        names = {n.rsplit(".", 1)[1] for _, n in imports(source) if n.startswith(("jaxrl_ft.methods", "jaxrl_ft.rl"))}
        for node in ast.walk(source.tree):
            asked = isinstance(node, ast.Call) and called(node) in ("isinstance", "issubclass")
            classes = {str(getattr(n, "attr", getattr(n, "id", ""))) for n in ast.walk(node) if asked}
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            compared = any(isinstance(side, ast.Call) and called(side) == "type" for side in sides)
            if names & classes or compared:
                yield f"{source.path}:{node.lineno}: asks for a class: {ast.unparse(node)}"


def physics_is_built_in_one_place(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and source.layer != "envs":
                names = PHYSICS & {str(k.arg) for k in node.keywords} if called(node) in ("replace", "_replace") else {}
                if names or called(node) == "EnvParams":
                    yield f"{source.path}:{node.lineno}: edits or builds env_params: {called(node)} {' '.join(names)}"


def private_names_stay_private(tree: list[Source]) -> Iterator[str]:
    """Attributes that begin with one underscore, unless of `self` or of what another library gives."""
    for source in tree:
        foreign = {"self", "cls"} | {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(source.tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
            if not (getattr(node, "module", None) or alias.name).startswith("jaxrl_ft")
        }
        for node in ast.walk(source.tree):
            for owner, name in private(node):
                if owner not in foreign:
                    yield f"{source.path}:{node.lineno}: reaches into {owner}{'.' * bool(owner)}{name}"


def private(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Who is asked for a private name, by attribute, by `setattr` and its like, or by import."""
    found: list[tuple[ast.AST | None, object]] = []
    if isinstance(node, ast.Attribute):
        found = [(node.value, node.attr)]
    elif isinstance(node, ast.Call) and called(node) in ("setattr", "getattr", "delattr"):
        found = [(node.args[0], a.value) for a in node.args[1:] if isinstance(a, ast.Constant)]
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxrl_ft"):
        found = [(None, alias.name) for alias in node.names]
    for owner, name in found:
        while isinstance(owner, (ast.Attribute, ast.Call, ast.Subscript)):
            owner = owner.func if isinstance(owner, ast.Call) else owner.value
        if isinstance(name, str) and re.fullmatch(r"_[a-zA-Z]\w*", name) and name not in NAMED_TUPLE:
            yield getattr(owner, "id", ""), name


def few_lines_say_any(tree: list[Source]) -> Iterator[str]:
    lines = list(lines_with(re.compile(r"\bAny\b"), [source for source in tree if source.path.endswith(".py")]))
    if len(lines) > 150:
        yield f"{len(lines)} lines say Any, 150 at most: {lines[-1]}"
