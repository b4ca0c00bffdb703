"""Plausible wrong answers to 2.4-allocator; each must lose points."""

RIGHT = """
class BlockAllocator:
    def __init__(self, num_blocks, block_size):
        self.block_size = block_size
        self.unused = list(range(1, num_blocks))
        self.users = [0] * num_blocks
        self.tables, self.tokens = {}, {}

    @property
    def free_blocks(self):
        return len(self.unused)

    def append(self, seq, tokens=1):
        table, length = self.tables.get(seq, []), self.tokens.get(seq, 0) + tokens
        more = -(-length // self.block_size) - len(table)
        if more > len(self.unused):
            return False
        new = [self.unused.pop(0) for _ in range(more)]
        for block in new:
            self.users[block] = 1
        self.tables[seq], self.tokens[seq] = table + new, length
        return True

    def slot(self, seq, position):
        return self.tables[seq][position // self.block_size] * self.block_size + position % self.block_size

    def share(self, old, new):
        self.tables[new] = self.tables[old][: self.tokens[old] // self.block_size]
        for block in self.tables[new]:
            self.users[block] += 1
        self.tokens[new] = len(self.tables[new]) * self.block_size
        return self.tokens[new]

    def free(self, seq):
        del self.tokens[seq]
        for block in self.tables.pop(seq):
            self.users[block] -= 1
            if not self.users[block]:
                self.unused.append(block)
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


MUTANTS = {
    "hands out block 0": mutant("range(1, num_blocks)", "range(num_blocks)"),
    "takes what is left before it refuses": mutant(
        "            return False\n",
        "            self.tables[seq] = table + self.unused\n            self.unused = []\n            return False\n",
    ),
    "notes the length of what it refused": mutant(
        "            return False\n",
        "            self.tables[seq], self.tokens[seq] = table, length\n            return False\n",
    ),
    "gives shared blocks back with their first user": mutant(
        "            if not self.users[block]:\n                self.unused",
        "            if True:\n                self.unused",
    ),
    "shares the last block too, full or not": mutant(
        "[: self.tokens[old] // self.block_size]", "[: -(-self.tokens[old] // self.block_size)]"
    ),
    "does not count a sharer": mutant("self.users[block] += 1", "pass"),
    "takes a block for each call": mutant(
        "more = -(-length // self.block_size) - len(table)", "more = -(-tokens // self.block_size)"
    ),
    "keeps an empty block in reserve": mutant(
        "more = -(-length // self.block_size) - len(table)", "more = length // self.block_size + 1 - len(table)"
    ),
    "takes the blocks of a sequence for neighbours": mutant(
        "self.tables[seq][position // self.block_size] * self.block_size + position % self.block_size",
        "self.tables[seq][0] * self.block_size + position",
    ),
    "forgets the offset": mutant("* self.block_size + position % self.block_size", "* self.block_size"),
    "forgets the blocks of who ends": mutant("self.unused.append(block)", "pass"),
    "copies what it should share": mutant(
        "        self.tables[new] = self.tables[old][: self.tokens[old] // self.block_size]\n"
        "        for block in self.tables[new]:\n"
        "            self.users[block] += 1\n"
        "        self.tokens[new] = len(self.tables[new]) * self.block_size\n"
        "        return self.tokens[new]\n",
        "        full = self.tokens[old] // self.block_size * self.block_size\n"
        "        self.append(new, full)\n"
        "        return full\n",
    ),
}
