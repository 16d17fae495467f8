"""Translates the part of Autobahn's test suite that tests servers from Python 2 to Python 3.

Usage: translate.py <installed package> <folder to write the translation into>

The suite handles octets as Python 2 strings all over. Such a string becomes one of Python 3 whose characters are those
octets: the sources are read as Latin-1, so that a literal keeps its octets, and `octets.py` stands where the suite
meets libraries that want `bytes`. What cannot be done by rule stands in EDITS; one that finds nothing to edit is an error.
"""

import sys
from pathlib import Path

from fissix.refactor import RefactoringTool

FIXERS = ["fissix.fixes.fix_" + name for name in ("except", "has_key", "import", "print", "raise", "unicode", "xrange")]

MODULES = ["caseset.py", "fuzzing.py", "case/*.py"]

# Compression is not offered, and its cases want data and libraries of their own.
LEFT_OUT = {"case12_x_x.py", "case9_9_1.py"}

# (module, what stands there, what is written instead)
EDITS = [
    # A class cannot list its base's base first.
    ("case/case6_x_x.py", "(object, Case, )", "(Case,)"),
    ("case/case7_7_X.py", "(object, Case, )", "(Case,)"),
    ("case/case7_9_X.py", "(object, Case, )", "(Case,)"),
    ("case/case9_7_X.py", "(object, Case, )", "(Case,)"),
    # A whole number was meant.
    ("case/case10_1_1.py", "len(self.payload) / self.p", "len(self.payload) // self.p"),
    # Pickles of equal lists differ where a string is one object in the first and two in the second.
    ("case/case.py", "pickle.dumps(obj1) == pickle.dumps(obj2)", "obj1 == obj2"),
    # Octets.
    ("case/case6_x_x.py", "from autobahn.websocket.utf8validator import", "from octets import"),
    ("fuzzing.py", "json, binascii, time", "json, time, octets as binascii"),
    ("fuzzing.py", "return dd.decode(", "return binascii.octets(dd).decode("),
    # Cases that are left out.
    ("case/__init__.py", "from case9_9_1 import *", ""),
    ("case/__init__.py", "from case12_x_x import *", ""),
    ("case/__init__.py", "Cases.extend(Case12_X_X)", ""),
    ("case/__init__.py", "CaseSubCategories.update(Case12_X_X_CaseSubCategories)", ""),
    ("case/__init__.py", "Cases.extend(Case13_X_X)", ""),
    ("case/__init__.py", "CaseSubCategories.update(Case13_X_X_CaseSubCategories)", ""),
    # Of use only to serve, to speak TLS, or to write HTML.
    ("fuzzing.py", "textwrap, pkg_resources", "textwrap"),
    ("fuzzing.py", "import reactor, ssl", "import reactor"),
    ("fuzzing.py", "ssl.ClientContextFactory()", "None"),
    (
        "fuzzing.py",
        """from report import CSS_COMMON, \\
                   CSS_DETAIL_REPORT, \\
                   CSS_MASTER_REPORT, \\
                   JS_MASTER_REPORT
""",
        "",
    ),
]


def main(source: Path, target: Path) -> None:
    tool = RefactoringTool(FIXERS)
    edits = list(EDITS)
    for path in sorted(path for pattern in MODULES for path in source.glob(pattern)):
        name = path.relative_to(source).as_posix()
        if path.name in LEFT_OUT:
            continue
        text = path.read_text(encoding="latin-1").replace("import binascii", "import octets as binascii")
        for edit in [edit for edit in edits if edit[0] == name]:
            if edit[1] not in text:
                sys.exit(f"{name}: {edit[1]!r} is not there")
            text = text.replace(edit[1], edit[2])
            edits.remove(edit)
        # The path tells the fixer of imports which modules are neighbours.
        text = str(tool.refactor_string(text.rstrip() + "\n", str(path)))
        written = target / name
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, encoding="utf-8")
    if edits:
        sys.exit(f"modules that are not there: {[edit[0] for edit in edits]}")
    version = (source / "_version.py").read_text(encoding="latin-1")
    (target / "__init__.py").write_text(version + "\nversion = __version__\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
