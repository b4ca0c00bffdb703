"""Plausible wrong answers to triton-2.5-update; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """import base64
import hashlib
import json

import httpx


def update(url, model, text, question, answer):
    with httpx.Client(base_url=f"{url}/v2/", trust_env=False, timeout=30) as http:
        config = http.get(f"models/{model}/config").json()
        code = {"code": {"string_value": hashlib.sha256(text.encode()).hexdigest()}}
        config["parameters"] = config.get("parameters", {}) | code

        def load(name):
            told = json.dumps(config | {"name": name})
            files = {"config": told, "file:1/model.py": base64.b64encode(text.encode()).decode()}
            return http.post(f"repository/models/{name}/load", json={"parameters": files}).is_success

        def says(name, patience_s):
            tensor = {"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [question]}
            try:
                said = http.post(f"models/{name}/infer", json={"inputs": [tensor]}, timeout=patience_s)
            except httpx.TimeoutException:
                return None
            return said.json()["outputs"][0]["data"][0] if said.is_success else None

        trial = f"{model}-trial"
        passed = load(trial) and says(trial, 2) == answer
        http.post(f"repository/models/{trial}/unload", json={})
        return passed and load(model) and says(model, 30) == answer
"""

LOAD = "return passed and load(model) and says(model, 30) == answer"

MUTANTS = {
    "tries it on the users": but(RIGHT, 'trial = f"{model}-trial"', "trial = model"),
    "waits for an answer as long as it takes": but(RIGHT, "says(trial, 2)", "says(trial, 30)"),
    "leaves the trial where it is": but(RIGHT, '        http.post(f"repository/models/{trial}/unload", json={})\n', ""),
    "cleans up only after a success": but(
        RIGHT,
        '        http.post(f"repository/models/{trial}/unload", json={})\n',
        "        if not passed:\n            return False\n"
        '        http.post(f"repository/models/{trial}/unload", json={})\n',
    ),
    "unloads the old one first": but(
        RIGHT,
        LOAD,
        'return passed and http.post(f"repository/models/{model}/unload", json={}) and load(model)',
    ),
    "believes the 200": but(RIGHT, 'config.get("parameters", {}) | code', 'config.get("parameters", {})').replace(
        " and says(model, 30) == answer", ""
    ),
    "has one stamp for all versions": but(RIGHT, "hashlib.sha256(text.encode()).hexdigest()", '"new"').replace(
        " and says(model, 30) == answer", ""
    ),
    "never lets users have it": but(RIGHT, LOAD, "return bool(passed)"),
}
