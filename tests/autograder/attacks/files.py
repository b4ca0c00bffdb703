"""Attacks by the file: what lies in the submission's place, and notebooks that are none or say more than they may.

Each function makes the submission at `path`; `nb` is the released notebook as plain data, unanswered.
"""

import copy
import json
import os

LAMBDA = "decode_ceiling = tokens_to_fill = waits = lambda *args, **kwargs: 0\n"


def _write(path, nb):
    path.write_text(json.dumps(nb))


def _answer(nb, text=LAMBDA):
    for cell in nb["cells"]:
        if cell["id"].endswith("-answer"):
            cell["source"] = text
    return nb


def is_a_link_to_the_solution(path, nb, at):
    path.symlink_to(at.solution)


def is_a_link_to_another_submission(path, nb, at):
    path.symlink_to(at.other)


def is_a_link_to_a_secret(path, nb, at):
    path.symlink_to("/etc/shadow")


def is_a_pipe(path, nb, at):
    os.mkfifo(path)


def is_a_folder(path, nb, at):
    path.mkdir()


def is_a_socket(path, nb, at):
    import socket

    here = os.open(path.parent, os.O_RDONLY)
    socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def is_missing(path, nb, at):
    """Nothing was handed in."""


def has_fifty_megabytes(path, nb, at):
    nb["cells"][0]["outputs"] = ["x" * 50 * 2**20]
    _write(path, nb)


def has_a_hole_of_a_terabyte(path, nb, at):
    with path.open("wb") as file:
        file.truncate(2**40)


def is_empty(path, nb, at):
    path.write_bytes(b"")


def is_broken_json(path, nb, at):
    path.write_text(json.dumps(_answer(nb))[:-200])


def is_binary(path, nb, at):
    path.write_bytes(bytes(range(256)) * 1000)


def is_a_program(path, nb, at):
    path.write_text("#!/usr/bin/env python3\nraise SystemExit\n")


def is_nested_deeply(path, nb, at):
    path.write_text("[" * 1_000_000)


def has_ids_that_are_nested_deeply(path, nb, at):
    deep = "[" * 700 + "]" * 700
    text = json.dumps(nb)
    for key in ("id", "cell_type"):
        text = text.replace('"cells": [', '"cells": [{"' + key + '": ' + deep + ', "source": "x = 1"}, ', 1)
    path.write_text(text)


def has_other_things_for_cells(path, nb, at):
    nb["cells"] = [None, 1, "x", [], {}, {"id": 7}, {"source": {"a": 1}}, {"source": [1, None, "x"], "metadata": []}]
    _write(path, nb)


def has_no_list_of_cells(path, nb, at):
    _write(path, {"cells": {"1-1-ceiling-answer": LAMBDA}, "nbformat": 4})


def has_format_99(path, nb, at):
    _answer(nb)["nbformat"] = 99
    _write(path, nb)


def has_format_2(path, nb, at):
    _answer(nb)
    cells = [{"cell_type": c["cell_type"], "input": c["source"], "metadata": c["metadata"]} for c in nb["cells"]]
    _write(path, {"nbformat": 2, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})


def removes_cells(path, nb, at):
    nb["cells"] = [cell for cell in nb["cells"] if "-" not in cell["id"]]
    _write(path, nb)


def repeats_cells(path, nb, at):
    nb["cells"] = [copy.deepcopy(cell) for cell in _answer(nb)["cells"] for _ in range(20)]
    _write(path, nb)


def reverses_cells(path, nb, at):
    _answer(nb)["cells"].reverse()
    _write(path, nb)


def turns_cells_into_prose(path, nb, at):
    for cell in _answer(nb)["cells"]:
        cell["cell_type"] = "markdown"
    _write(path, nb)


def changes_the_metadata(path, nb, at):
    for cell in _answer(nb)["cells"]:
        told = cell["metadata"].get("nbgrader")
        if told:
            told |= {
                "points": 1e9,
                "locked": False,
                "grade": True,
                "solution": True,
                "task": True,
                "schema_version": 99,
            }
        cell["metadata"]["servelab"] = {"item": "x", "context": [], "engine": True}
    _write(path, nb)


def swaps_the_names_of_cells(path, nb, at):
    """The test cell is called the answer, and the other way round."""
    for cell in nb["cells"]:
        told = cell["metadata"].get("nbgrader")
        if told:
            old, new = ("-test", "-answer") if cell["id"].endswith("-test") else ("-answer", "-test")
            cell["id"] = told["grade_id"] = cell["id"].removesuffix(old) + new
    _write(path, nb)


def rewrites_the_checks(path, nb, at):
    for cell in _answer(nb)["cells"]:
        if cell["id"].endswith("-test"):
            cell["source"] = "lesson.passed('1.1-ceiling')\n2.0"
            cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "1000.0"}, "metadata": {}}]
    _write(path, nb)


def brings_cells_of_its_own(path, nb, at):
    """Before, between and after: each ends the process, or hangs."""
    for place in range(len(nb["cells"]), 0, -1):
        code = ("import os; os._exit(0)", "while True: pass", "raise SystemExit", "1/0")[place % 4]
        nb["cells"].insert(place, {"id": f"own-{place}", "cell_type": "code", "source": code, "metadata": {}})
    _answer(nb)
    _write(path, nb)


def stuffs_the_pipe(path, nb, at):
    """The first answer says yes to all that will be asked and never listens; what follows is long."""
    talk = """
import gc, json, struct
out = next(one for one in gc.get_objects() if type(one).__name__ == "Inside").replies
data = json.dumps({"value": None}).encode()
while True:
    out.write(struct.pack(">I", len(data)) + data)
"""
    nb["cells"].insert(1, {"id": "talks", "cell_type": "code", "source": talk, "metadata": {}})
    for n in range(10):
        nb["cells"].insert(2, {"id": f"own-{n}", "cell_type": "code", "source": "#" * 190_000 + str(n), "metadata": {}})
    _write(path, _answer(nb))


def has_text_that_is_no_text(path, nb, at):
    """Half a character, a zero byte, a source that no parser ends with."""
    texts = iter(["x = '\ud800'\n" + LAMBDA, "\0" + LAMBDA, "(" * 150_000])
    for cell in nb["cells"]:
        if cell["id"].endswith("-answer"):
            cell["source"] = next(texts)
    _write(path, nb)
