"""What a code cell binds and what it reads, without executing it."""

from __future__ import annotations

import ast
import symtable


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


def needs(code: str) -> set[str]:
    """The names a cell reads before it binds them, and those that a function in it reads and it has not bound."""
    found: set[str] = set()
    _walk(ast.parse(code).body, set(), found)
    return found


def _walk(body: list[ast.stmt], own: set[str], found: set[str]) -> None:
    """Go through statements in their order: `own` gains what they bind, `found` what they need."""
    for statement in body:
        inner = [part for kind in ("body", "handlers", "orelse", "finalbody") for part in getattr(statement, kind, [])]
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not inner:
            text = ast.unparse(statement)
            found |= _global(symtable.symtable(text, "cell", "exec")) - own
            own |= bound(text)
            continue
        for part in ast.iter_child_nodes(statement):  # the line that opens it
            if part not in inner:
                found |= {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - own
                own |= {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        own |= {statement.name} if isinstance(statement, ast.ExceptHandler) and statement.name else set()
        _walk(inner, own, found)


def _global(table: symtable.SymbolTable) -> set[str]:
    """The names that a scope and those within it read from a cell's top level."""
    top = table.get_type() == "module"
    here = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return here.union(*(_global(child) for child in table.get_children()))


def defined(code: str) -> set[str]:
    """The names a cell binds but by importing: what an answer is asked for."""
    imports = "\n".join(ast.unparse(n) for n in ast.parse(code).body if isinstance(n, ast.Import | ast.ImportFrom))
    return bound(code) - bound(imports)
