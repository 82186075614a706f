"""Methods of other packages: by entry point of an installed package, by dotted name, and what is refused.

The method is the one of docs/how_to_own_method.md, taken from the page itself.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from monai_sfda import methods
from monai_sfda.errors import SettingError
from monai_sfda.methods import SFS, create_method, find_method, origin
from tests.builders import REPOSITORY, release, small_network

PAGE = REPOSITORY / "docs" / "how_to_own_method.md"


def code_of_page() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return code


def install(folder, module, code, points=None, distribution="own-methods", version="1.2"):
    """What pip leaves in site-packages: the module, and a dist-info folder with its entry points."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    (info / "top_level.txt").write_text(f"{module}\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{module}.py,,\n", encoding="utf-8")
    lines = [f"{name} = {value}" for name, value in (points or {}).items()]
    entries = "\n".join(["[monai_sfda.methods]", *lines, ""])
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder on sys.path; modules imported from it are forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_page_s_method_by_its_entry_point(site):
    install(site, "pseudo_labels", code_of_page(), {"pseudo_labels": "pseudo_labels:PseudoLabels"})
    assert "pseudo_labels" not in sys.modules  # nothing is imported before it is asked for
    method = create_method("pseudo_labels", {"confidence": 0.25})
    assert origin(type(method)) == {
        "class": "pseudo_labels:PseudoLabels",
        "distribution": "own-methods",
        "version": "1.2",
    }
    network = small_network()
    method.setup(network, release(network))
    method.set_mode()
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = method.step({"image": image}, torch.Generator())["pseudo_label"]
    with torch.no_grad():
        logits = network(image)
    confidence, label = logits.softmax(1).max(1)
    assert bool((confidence > 0.25).any())
    pixels = functional.cross_entropy(logits, label, reduction="none")[confidence > 0.25]
    assert loss.item() == pytest.approx(float(pixels.mean()), rel=1e-5)
    with pytest.raises(SettingError, match="'pseudo_labels' has no setting 'confidnce': did you mean conf"):
        create_method("pseudo_labels", {"confidnce": 0.5})
    with pytest.raises(SettingError, match="'pseudo_label' is unknown: use one of pseudo_labels"):
        find_method("pseudo_label")


def test_the_page_s_method_by_its_dotted_name(site):
    (site / "loose.py").write_text(code_of_page(), encoding="utf-8")
    method = find_method("loose:PseudoLabels")
    assert origin(method) == {"class": "loose:PseudoLabels", "distribution": None, "version": None}


def test_ours_are_ours_and_known_words_say_what_to_do():
    assert find_method("sfs") is SFS
    assert origin(SFS)["distribution"] == "monai_sfda"
    assert origin(SFS)["class"] == "monai_sfda.methods.sfs:SFS"
    with pytest.raises(SettingError, match=r"'auto' cannot be run: .*not in this version: use adabn, osuda"):
        create_method("auto")
    with pytest.raises(SettingError, match=r"'supervised' cannot be run: .*train\.json with --domain target"):
        create_method("supervised")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent_module:X", r"'absent_module:X' cannot be imported \(ModuleNotFoundError: No module named"),
        ("bad:Missing", r"cannot be imported \(AttributeError: .*Missing.*: install the package"),
        ("broken:X", r"'broken:X' cannot be imported \(RuntimeError: no license\)"),
        ("bad:Number", "'bad:Number' is no method: it must be a class on monai_sfda.methods.Method"),
        ("bad:Plain", "'bad:Plain' is no method"),
        ("bad:Bare", "'bad:Bare' lacks name, title, source, settings_class, step: define"),
        ("bad:Copycat", "'bad:Copycat' calls itself 'sfs', as a method of monai_sfda does"),
    ],
)
def test_what_is_no_method_is_refused_with_the_reason(site, name, message):
    (site / "broken.py").write_text("raise RuntimeError('no license')\n", encoding="utf-8")
    (site / "bad.py").write_text(
        "from monai_sfda.methods import Method, SFS\n"
        "Number = 3\n"
        "class Plain: pass\n"
        "class Bare(Method): pass\n"
        "class Copycat(SFS): pass\n",
        encoding="utf-8",
    )
    with pytest.raises(SettingError, match=message):
        find_method(name)


def test_a_name_of_two_packages_or_of_ours_is_refused(site):
    point = {"twice": "pseudo_labels:PseudoLabels", "sfs": "pseudo_labels:PseudoLabels"}
    install(site, "pseudo_labels", code_of_page(), point)
    install(site, "other", code_of_page(), {"twice": "other:PseudoLabels"}, "other-methods", "3")
    with pytest.raises(SettingError, match=r"'twice' is given by o\S+ \S+ and by o\S+ \S+: uninstall"):
        find_method("twice")
    with pytest.raises(SettingError, match=r"'sfs' is given by own-methods 1\.2 and by monai_sfda itself"):
        find_method("sfs")
    assert find_method("adabn") is methods.AdaBN


def test_an_entry_point_has_the_name_of_its_class(site):
    install(site, "pseudo_labels", code_of_page(), {"mine": "pseudo_labels:PseudoLabels"})
    with pytest.raises(SettingError, match=r"'mine' of own-methods 1\.2 calls itself 'pseudo_labels'"):
        find_method("mine")


def test_the_command_lines_of_the_page_name_the_page_s_method(tmp_path):
    """A user's process, with the file's folder on PYTHONPATH."""
    (tmp_path / "pseudo_labels.py").write_text(code_of_page(), encoding="utf-8")
    names = re.findall(r"pseudo_labels:\w+", PAGE.read_text(encoding="utf-8"))
    assert set(names) == {"pseudo_labels:PseudoLabels"}
    done = subprocess.run(
        [sys.executable, "-c", f"import monai_sfda.methods as m; print(m.find_method('{names[0]}').title)"],
        env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["Pseudo-labels"], done.stderr
