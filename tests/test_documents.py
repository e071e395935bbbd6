"""README and docs/ name only what there is: files, tests, make targets, rules, presets, settings, commands.

And sources lead only where there is something: to a section of docs/, or to a section of a paper that they name.
"""

import io
import re
import subprocess
import tokenize
import tomllib
from itertools import chain

import pytest

from nsff.cli import command_modules
from nsff.config import PRESETS, StageConfig
from nsff.config.overlays import OVERLAYS
from nsff.config.project import ProjectConfig, SceneConfig

ROOMS = "nsff|tests|docs|rules|scripts|envs|profiles|schemas|demo"
MADE = {"docs/gpu_check.json"}
"""Files that a command makes."""
NEW = {
    "nsff/datasets/listed.py", "tests/datasets/test_listed.py", "nsff/decompose/clusterers/farthest.py",
    "tests/decompose/test_farthest.py", "nsff/priors/depth/backends/linear.py", "tests/priors/test_linear.py",
}  # fmt: skip
"""Files that a walk-through of docs/extending.md has its reader write."""
BARE = re.compile(
    r"specification|saff_nsff"
    r"|(?<![\w.,] )(?<!^)\bsections? \d|^\W*section \d"  # without a name before it
    r"|\([1-9]\.\d{1,2}(\)|, step)|; [1-9]\.\d{1,2}[,)]|\([1-9]\.\d{1,2} (and|to) [1-9]\.\d{1,2}\)",
    re.I,
)
"""Numbers of sections that do not say of what."""


@pytest.fixture(scope="module")
def documents(repo):
    own = [repo / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "config/README.md")]
    paths = [*own, *sorted((repo / "docs").glob("*.md"))]
    return {path.relative_to(repo).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def rules(repo):
    return set(
        chain.from_iterable(re.findall(r"^rule (\w+):", p.read_text(), re.M) for p in (repo / "rules").glob("*.smk"))
    )


def code(text):
    """What stands between single backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(text):
    """The anchors that GitHub gives the headings of a Markdown page."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    slugs = [re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
    return {f"{slug}-{slugs[:i].count(slug)}" if slug in slugs[:i] else slug for i, slug in enumerate(slugs)}


def test_anchors_are_githubs():
    assert anchors("# One\n## Two words, two: `a_b`\n```sh\n# none\n```\n### One\n") == {
        "one", "two-words-two-a_b", "one-1",
    }  # fmt: skip


def test_links_lead_somewhere(repo, documents):
    lost = []
    for name, text in documents.items():
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)", text):
            if re.match(r"https?:|mailto:", target):
                continue
            path = (repo / name).parent / target if target else repo / name
            if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                lost.append((name, target, anchor))
    assert lost == []


@pytest.fixture(scope="module")
def sources(repo):
    """All Python files that git knows, by path."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=repo, capture_output=True, text=True, check=True).stdout
    return {name: (repo / name).read_text(encoding="utf-8") for name in listed.split() if (repo / name).is_file()}


def prose(text):
    """Lines (number, line) of the comments, the docstrings and the texts in three quotes of a Python source."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        written = token.type == tokenize.STRING and token.string.lstrip("rbfuRBFU").startswith('"""')
        if written or token.type == tokenize.COMMENT:
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_sources_lead_to_sections_that_exist(repo, sources, documents):
    named = [
        (name, target, anchor)
        for name, text in sources.items()
        for target, anchor in re.findall(r"(docs/\w+\.md)#([\w-]+)", text)
    ]
    assert len(named) > 30
    assert [(n, t, a) for n, t, a in named if t not in documents or a not in anchors(documents[t])] == []


def test_sources_name_where_a_section_is():
    """No number of a section without its paper or page: "(4.6)", "section 5.3", "5.8, 5.7)"."""
    for line in (
        "as in (4.6)",
        "the flow (section 5.3)",
        "PLY files; 5.8, 5.7).",
        "(specification, 2.3)",
        "Section 4.9",
    ):
        assert BARE.search(line), line
    for line in ("(NeRF, section 5.2)", "2.4 and 2.8", "(Exif 2.32, tag 1)", "Adams et al. 2010, sections 3 and 4"):
        assert not BARE.search(line), line


def test_no_bare_numbers_of_sections(sources):
    bare = [
        (name, number, line.strip())
        for name, text in sources.items()
        if name != "tests/test_documents.py"
        for number, line in prose(text)
        if BARE.search(line)
    ]
    assert bare == []


def test_figures_of_the_methods_are_drawn_here(repo, documents):
    drawn = set(re.findall(r"^def (\w+)\(\) -> plt.Figure", (repo / "scripts/figures/methods.py").read_text(), re.M))
    shown = set(re.findall(r"\(images/(\w+)\.svg\)", documents["docs/methods.md"]))
    assert drawn == shown == {path.stem for path in (repo / "docs" / "images").glob("*.svg")}


def test_paths_exist(repo, documents):
    lost = []
    for name, text in documents.items():
        for path in chain.from_iterable(re.findall(rf"(?<![\w/.])(?:{ROOMS})/[\w./*{{}},-]*", c) for c in code(text)):
            pattern = re.sub(r"\{[^}]*\}", "*", path.rstrip("/.,"))
            if pattern not in MADE | NEW and not any(repo.glob(pattern)):
                lost.append((name, path))
    assert lost == []


def test_paths_in_commands_exist(repo, documents):
    for name in ("README.md", "docs/clusters.md"):
        for block in re.findall(r"^```sh\n(.*?)^```", documents[name], re.M | re.S):
            for path in re.findall(rf"(?<=\s)(?:{ROOMS})/[\w./-]+", re.sub(r"#.*", "", block)):
                assert (repo / path).exists(), (name, path)


def test_modules_and_functions_exist(repo, documents):
    """nsff.room.module.name, as the table of stages has them."""
    lost = []
    for name, text in documents.items():
        for found in set(re.findall(r"\bnsff(?:\.\w+)+", " ".join(code(text)))):
            parts = found.split(".")[1:]
            for k in range(len(parts), 0, -1):
                place = repo.joinpath("nsff", *parts[:k])
                if place.with_suffix(".py").is_file() or place.is_dir():
                    break
            else:
                lost.append((name, found))
                continue
            file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
            rest = parts[k:]
            if rest and not re.search(rf"\b{rest[0]}\b", file.read_text()):
                lost.append((name, found))
    assert lost == []


def test_make_targets_exist(repo, documents):
    targets = set(re.findall(r"^([a-z-]+):", (repo / "Makefile").read_text(), re.M))
    assert {"setup", "demo", "test", "lint", "clean"} <= targets
    for name, text in documents.items():
        named = " ".join(code(text)) + "\n".join(re.findall(r"^make .*", text, re.M))
        assert set(re.findall(r"\bmake ([a-z][a-z-]+)", named)) <= targets, name


def test_ci_runs_what_the_readme_says(repo, documents):
    script = (repo / ".ci" / "run").read_text()
    for command in re.findall(r"^make .*", script, re.M):
        assert re.search(rf"^{command}\b", documents["README.md"], re.M)
    assert "make test" in script and (repo / ".ci" / "run").stat().st_mode & 0o100


def test_stages_of_the_architecture_are_the_rules(documents, rules):
    table = documents["docs/architecture.md"].split("## Stages")[1].split("## ")[0]
    named = set(re.findall(r"^\| (\w+)", table, re.M)) - {"rule"}
    assert rules - named == {"collect_scores", "overview", "reproduce"}
    assert named <= rules


def test_rooms_of_the_architecture_are_those_of_the_contract(repo, documents):
    """The table is in the order of import-linter's layers, from the top down."""
    table = documents["docs/architecture.md"].split("## Rooms\n")[1].split("\n## ")[0]
    rows = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`.*?) \|", table, re.M)]
    linter = tomllib.loads((repo / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [re.split(r" [:|] ", layer) for layer in linter["contracts"][0]["layers"]]
    names = [sorted(layer) for layer in layers]
    assert sorted(chain.from_iterable(rows)) == sorted(chain.from_iterable(names))
    order = {name: place for place, layer in enumerate(names) for name in layer}
    places = [order[name] for row in rows for name in row]
    assert places == sorted(places)


def test_presets_and_overlays_exist(documents):
    table = documents["README.md"].split("## Presets")[1].split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(PRESETS)
    for name, text in documents.items():
        for names in re.findall(r"overlays: \[([^\]]*)\]", text):
            assert {part.strip() for part in names.split(",")} <= set(OVERLAYS), name
        assert set(re.findall(r"^preset: (\w+)", text, re.M)) <= set(PRESETS), name


def test_settings_exist(documents):
    sections = {
        name: field.annotation
        for name, field in (SceneConfig.model_fields | ProjectConfig.model_fields).items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, StageConfig)
    }
    lost = []
    for name, text in documents.items():
        for section, key in re.findall(r"(?<![\w./])([a-z]+)\.([a-z]\w+)\b(?![./(])", " ".join(code(text))):
            file = key in ("py", "json", "csv", "md", "html", "npz", "npy", "mp4", "yaml", "safetensors", "smk")
            if section in sections and not file and key not in sections[section].model_fields:
                lost.append((name, f"{section}.{key}"))
    assert lost == []


def test_commands_exist(documents):
    known = set(command_modules())
    for name, text in documents.items():
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S))
        named = re.findall(r"^nsff ([a-z-]+)", blocks, re.M) + re.findall(r"`nsff ([a-z][a-z-]*)", text)
        assert set(named) <= known, name


def test_registries_are_where_the_documents_say(repo, documents):
    """Each block of docs/extending.md that fills a registry comes after the file that has it."""
    text = documents["docs/extending.md"]
    found = []
    for match in re.finditer(r"^([A-Z]{5,}) = \{", text, re.M):
        found.append((re.findall(r"`(nsff/[\w/]+\.py)`", text[: match.start()])[-1], match[1]))
    for file, name in found:
        assert re.search(rf"^{name}\b.*= \{{", (repo / file).read_text(), re.M), (file, name)
    for file, name in re.findall(r"`(nsff/[\w/]+\.py)`[^`\n]*`([A-Z]{5,})`", text):
        assert re.search(rf"^{name}\b", (repo / file).read_text(), re.M), (file, name)


def test_the_readme_lists_all_documents(documents):
    listed = set(re.findall(r"\]\((docs/\w+\.md)\)", documents["README.md"].split("## Documents")[1].split("\n## ")[0]))
    assert listed == {name for name in documents if name.startswith("docs/")}


def test_results_readme_names_what_rules_make(repo, documents):
    made = set()
    for path in (repo / "rules").glob("*.smk"):
        for output in re.findall(r"    output:\n(.*?)^    log:", path.read_text(), re.M | re.S):
            made |= {found.split("/")[0] for found in re.findall(r'"results/\{scene\}/([\w/{}.]+)"', output)}
    folders = {name for name in made if "." not in name}
    assert {"frames", "model", "renders", "summaries", "extracted"} <= folders
    assert folders <= set(code(documents["results/README.md"]))


def test_both_papers_can_be_cited(repo, documents):
    citation = (repo / "CITATION.cff").read_text()
    for title in (
        "Neural Scene Flow Fields for Space-Time View Synthesis",
        "Semantic Attention Flow Fields for Monocular",
    ):
        assert title in citation and title in documents["README.md"]
    assert "MIT License" in (repo / "LICENSE").read_text()


# --- the plan --------------------------------------------------------------------------------------------------------
LAST = {
    "1 of 6": 10, "2 of 6": 18, "3 of 6": 13, "4 of 6": 6, "5 of 6": 7, "6 of 6": 8,
    "Part 1 of 4": 14, "Part 2 of 4": 6, "Part 3 of 4": 8, "Part 4 of 4": 8,
}  # fmt: skip
"""The number of the last point of each part."""


def points(text, level):
    """Rows (number, point, state, shown) by part, of the headings of a level."""
    parts = re.split(rf"^{level} (\w.*)\n", text, flags=re.M)[1:]
    rows = {}
    for heading, section in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in section.splitlines() if line[:1] == "|"]
        rows[heading.partition(":")[0]] = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][2:]
    return rows


@pytest.fixture(scope="module")
def still_open(documents):
    return points(documents["docs/plan.md"], "##")


@pytest.fixture(scope="module")
def done(documents):
    return points(documents["docs/notebook.md"].split("## Points that are done\n")[1], "###")


def test_every_point_is_open_or_done(still_open, done):
    assert set(still_open) | set(done) == set(LAST)
    for part, last in LAST.items():
        rows = still_open.get(part, []) + done.get(part, [])
        assert all(len(row) == 4 for row in rows), part
        assert {int(row[0]) for row in rows if row[0].isdigit()} == set(range(1, last + 1)), part


def test_what_is_open_is_not_done(still_open, done):
    assert {row[2] for row in chain.from_iterable(still_open.values())} <= {"open"}
    for row in chain.from_iterable(done.values()):
        assert row[2] in ("done", "measured"), row
    for part in set(still_open) & set(done):
        assert not {row[1] for row in still_open[part]} & {row[1] for row in done[part]}, part


def test_what_is_done_is_shown(done):
    for row in chain.from_iterable(done.values()):
        assert re.search(r"`(tests/|make )", row[3]) if row[2] == "done" else row[3], row


def test_points_name_tests_that_exist(repo, documents):
    text = documents["docs/plan.md"] + documents["docs/notebook.md"].split("## Points that are done\n")[1]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 100
    lost = [
        f"{file}::{test}"
        for file, test in named
        if not (repo / file).is_file() or (test and not re.search(rf"^def {test}\(", (repo / file).read_text(), re.M))
    ]
    assert lost == []
    # All but the one that explains the notation.
    assert text.count("::") - 1 == len([test for _, test in named if test])
