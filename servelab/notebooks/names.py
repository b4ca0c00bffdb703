"""What a code cell binds and what it reads, without executing it."""

from __future__ import annotations

import ast


def bound(code: str) -> set[str]:
    """The names a cell binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def read(code: str) -> set[str]:
    """The names a cell reads."""
    return {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def defined(code: str) -> set[str]:
    """The names a cell binds but by importing: what an answer is asked for."""
    imports = "\n".join(ast.unparse(n) for n in ast.parse(code).body if isinstance(n, ast.Import | ast.ImportFrom))
    return bound(code) - bound(imports)
