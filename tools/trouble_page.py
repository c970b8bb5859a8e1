"""Write docs/troubleshooting.md from the messages that exist in the code and what docs/troubleshooting.yaml says of them.

python -m tools.trouble_page
"""

import ast

import yaml

from harness.paths import ROOT
from tools import digests

PAGE, TOPICS = ROOT / "docs" / "troubleshooting.md", ROOT / "docs" / "troubleshooting.yaml"
RAISED = ("RigError", "Late", "Step")
BENCH = (
    "adapters",
    "harness/bench",
    "harness/commissioning",
    *(
        f"harness/{name}.py"
        for name in ("can/trace", "inputs/rig", "run", "driving/drive", "vehicle/operated", "vehicle/vehicle")
    ),
)
HEAD = """# Troubleshooting

What a bench says, what it means, and what to look at. None of these is the vendor's fault: outcomes are MISS, verdicts void. Generated
by `python -m tools.trouble_page` from the messages in the code (… stands for what differs) and `troubleshooting.yaml`.
"""


def text_of(node):
    """The text of a message, with … for what is filled in; None if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
    if isinstance(node, ast.BinOp):
        parts = [text_of(node.left), text_of(node.right)]
        return "".join(p if p is not None else "…" for p in parts)
    return None


def put_together(tree):
    """Where the modules that translate have their texts: what is returned, listed, or chosen from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif isinstance(node, ast.Dict):
            yield from node.values
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            yield from node.args


def messages():
    """{module: its messages}, of adapters and of what the harness does with a bench."""
    found = {}
    for file in (f for f in digests.files_of(BENCH) if f.suffix == ".py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        said = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED and node.args:
                text = text_of(node.args[0])
                if text and len(text.replace("…", "").strip()) > 8:
                    said.append(" ".join(text.split()))
        if file.name in ("words.py", "can_python.py", "timing.py"):  # messages that are put together elsewhere
            said += [" ".join(text.split()) for node in put_together(tree) if (text := text_of(node)) and " " in text]
        if said:
            found[file.relative_to(ROOT).with_suffix("").as_posix()] = list(dict.fromkeys(said))
    return found


def page():
    topics = yaml.safe_load(TOPICS.read_text(encoding="utf-8"))
    out = [HEAD]
    for topic in topics:
        out += [f"## {topic['topic']}", "", "| it says | it means | look at |", "|---|---|---|"]
        out += [f"| {one['says']} | {one['means']} | {one['look']} |" for one in topic["messages"]]
        out.append("")
    out += ["## Every message, by where it comes from", ""]
    for module, said in messages().items():
        out += [f"**{module}**", "", *(f"- `{text.replace('`', chr(39))}`" for text in said), ""]
    return "\n".join(out)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written to {PAGE}")
