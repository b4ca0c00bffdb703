"""Plausible wrong answers to 1.1-line."""


def loop(*lines: str) -> str:
    head = ["def waits(arrivals, services):", "    free, waited = 0.0, []"]
    body = ["    for arrival, service in zip(arrivals, services):", *(f"        {line}" for line in lines)]
    return "\n".join([*head, *body, "    return waited", ""])


MUTANTS = {
    "counts the service into the wait": loop(
        "begin = max(arrival, free)", "free = begin + service", "waited.append(free - arrival)"
    ),
    "lets waits be negative after a pause": loop("waited.append(free - arrival)", "free = free + service"),
    "forgets the pauses": loop("waited.append(max(0.0, free - arrival))", "free = free + service"),
    "frees the server at arrival plus service": loop(
        "waited.append(max(0.0, free - arrival))", "free = arrival + service"
    ),
    "gives the instants of beginning": loop(
        "begin = max(arrival, free)", "waited.append(begin)", "free = begin + service"
    ),
    "serves everyone at once": loop("waited.append(0.0)"),
    "takes the shortest first": "def waits(arrivals, services):\n"
    "    order = sorted(range(len(arrivals)), key=lambda i: (arrivals[i], services[i]))\n"
    "    free, waited = 0.0, [0.0] * len(arrivals)\n"
    "    for i in order:\n"
    "        begin = max(arrivals[i], free)\n"
    "        waited[i] = begin - arrivals[i]\n"
    "        free = begin + services[i]\n"
    "    return waited\n",
    "waits for the request before only": "def waits(arrivals, services):\n"
    "    waited = [0.0] * len(arrivals)\n"
    "    for i in range(1, len(arrivals)):\n"
    "        waited[i] = max(0.0, arrivals[i - 1] + services[i - 1] - arrivals[i])\n"
    "    return waited\n",
}
