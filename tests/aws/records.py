"""What was answered, without what names the account, and what follows where a statement does not hold."""

import json
import re
import threading

from account import PREFIX, ROOT

# What is replaced, in this order, and by what. A number tells those of a kind apart: what was the same still is.
PLACEHOLDERS = [
    ("arn", r"arn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:[0-9]*:[^\s\"'<>,\])}]+"),
    ("request", r"(?<=<RequestId>)[^<]+|(?<=_request_id: Some\(\")[^\"]+"),
    ("url", r"(?<!xmlns=\")https?://[^\s\"'<>,\])}]+"),
    ("token", r"(?<=<NextToken>)[^<]+|(?<=<NextMarker>)[^<]+|(?<=<LifecycleActionToken>)[^<]+"),
    ("token", r"(?<=\"nextToken\":\")[^\"]+|(?<=\"ReceiptHandle\":\")[^\"]+|(?<=\"LastEvaluatedTableName\":\")[^\"]+"),
    ("dns", r"[A-Za-z0-9.-]+\.elb\.[a-z0-9.-]*amazonaws\.com(?:\.cn)?"),
    ("dns", r"ip-[0-9]+-[0-9]+-[0-9]+-[0-9]+[a-z0-9.-]*"),
    ("key", r"\b(?:AKIA|ASIA|AROA|AIDA|AIPA)[A-Z0-9]{8,}\b"),
    ("uuid", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("id", r"\b(?:i|vpc|subnet|sg|lt|eni|vol|ami|rtb|igw|r|acl|dopt|eipalloc)-[0-9a-f]{8,17}\b"),
    ("id", r"\b[0-9a-f]{32}\b"),
    ("address", r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b"),
]
PATTERN = re.compile("|".join(f"(?P<{kind}_{n}>{pattern})" for n, (kind, pattern) in enumerate(PLACEHOLDERS)))

# The statements' own inventions, which name nothing.
INVENTED = {"i-0123456789abcdef0", "bcd2f1b8-9a78-44d3-8a7a-4dd07d7cf635"}

# Answers that list what else is in the account.
OF_OTHERS = {
    "clusters_come_in_pages",
    "groups_come_in_pages",
    "balancers_come_in_pages",
    "a_page_is_of_a_hundred_groups_or_fifty_instances",
}

# The codes of answers to those who may not ask.
DENIED = ("AccessDenied", "UnauthorizedOperation", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient")

# Where the simulator models a service.
MODELS = {
    "ECS": "tests/simulator/src/ecs/",
    "Auto Scaling": "tests/simulator/src/autoscaling/",
    "ELBv2": "tests/simulator/src/elb/",
    "classic ELB": "tests/simulator/src/elb/",
    # What answers is the crate dynoxide.
    "DynamoDB": "tests/simulator/src/dynamodb.rs",
    "SQS": "tests/simulator/src/sqs/",
}
MODULES = ["ecs", "tasks", "autoscaling", "elbv2", "classic", "dynamodb", "sqs"]


class Redactor:
    """Replaces what names an account, or something in it, by placeholders."""

    def __init__(self, account):
        self.account, self.known = account, {}

    def __call__(self, text):
        def placeholder(found):
            kind, words = found.lastgroup.split("_")[0], found[0]
            if words in INVENTED:
                return words
            same = [n for (of, known), n in self.known.items() if (of, known) == (kind, words)]
            number = same[0] if same else 1 + sum(1 for of, _ in self.known if of == kind)
            self.known[(kind, words)] = number
            if kind == "arn":
                service, rest = words.split(":")[2], words.split(":", 5)[5]
                return f"<arn {number} of {service} {re.split('[/:]', rest)[0]}>"
            return f"<{kind} {number}>"

        text = PATTERN.sub(placeholder, text)
        text = re.sub(rf"{PREFIX}-[0-9a-f]{{6}}(-[0-9a-z]+)?", "<name>", text)
        return text.replace(self.account, "<account>")


class Records:
    """The files of a run."""

    def __init__(self, folder, account):
        self.folder, self.account, self.lock = folder, account, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.answers, self.came, self.drains = {}, {}, {}
        # One for each statement: its first instance is <id 1>, whatever was asked before.
        self.redactors = {}

    def take(self, line):
        """Takes what the test binary printed: an answer, or what came of a statement."""
        with self.lock:
            check = line["check"]
            redact = self.redactors.setdefault(check, Redactor(self.account.id))
            if "operation" not in line:
                if line["complaint"]:
                    line["complaint"] = redact(line["complaint"])
                    # What the kit may not ask says nothing of the statement.
                    line["unmade"] = line["unmade"] or any(word in line["complaint"] for word in DENIED)
                self.came[check] = line
                self.append("came.jsonl", line)
                return
            whole = check in OF_OTHERS and line["status"] == 200
            line["answer"] = "left out: it lists what else is in the account" if whole else redact(line["answer"])
            self.answers.setdefault(check, []).append(line)
            self.append("answers.jsonl", line)

    def drained(self, strategy, judged, seen, log):
        """Notes how a drain went, and what the program said of it."""
        redact = Redactor(self.account.id)
        # What is seen once a second mostly stays as it is.
        news = [n for n in range(len(seen)) if n == 0 or {**seen[n], "at": 0} != {**seen[n - 1], "at": 0}]
        seen = [seen[n] for n in news]
        with self.lock:
            self.drains[strategy] = judged
            text = json.dumps({"strategy": strategy, "judged": judged, "seen": seen}, indent=1, default=str)
            (self.folder / f"drain-{strategy}.json").write_text(redact(text) + "\n", encoding="utf-8")
            (self.folder / f"drain-{strategy}.log").write_text(redact(log), encoding="utf-8")

    def append(self, name, line):
        """A line more in a file."""
        with open(self.folder / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")

    def differences(self):
        """Statements that do not hold."""
        return [came for came in self.came.values() if came["complaint"] and not came["unmade"]]

    def unmade(self):
        """Statements of which nothing was learnt."""
        return [came for came in self.came.values() if came["unmade"]]

    def write_statements(self, services, place):
        """Writes a page for review: each difference as a statement. Its path; None without differences."""
        differences = self.differences()
        if not differences:
            return None
        text = [f"# Where {place} is not as stated", ""]
        text += ["Each section is for review: a difference is only a fact once a person has read the answers.", ""]
        for came in differences:
            text += self.statement(came, services[came["check"]], place)
        path = self.folder / "statements.md"
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return path

    def statement(self, came, service, place):
        """A difference, as a person would review it."""
        check = came["check"]
        where, stated = source_of(check)
        answers = self.answers.get(check, [])
        # What is complained of is the last of them, or one just before.
        calls = sorted({answer["operation"] for answer in answers[-3:]})
        text = [f"## {check}", "", f"**Stated** ({service}, `{where}`): {stated}", ""]
        text += [f"**{place} said**: {came['complaint']}", ""]
        text += [f"The last of {len(answers)} answers (all are in `answers.jsonl`):", "", "```text"]
        text += [f"{a['operation']} {a['status']}: {a['answer'][:600]}" for a in answers[-3:]]
        text += ["```", "", "To change, if it is so:", ""]
        text += [f"- the statement and its source: `{where}`"]
        text += [f"- the simulator, which does as stated: {modelled(service, calls)}"]
        text += [f"- `tests/all/conformance/differs.rs`: {listed(check)}"]
        text += [f"- what the program relies on: {relied_on(calls)}", ""]
        return text


def source_of(check):
    """Where a statement is made, and its words with their source."""
    for module in MODULES:
        path = ROOT / "tests/all/conformance" / f"{module}.rs"
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.startswith(f"pub async fn {check}("):
                words = []
                while lines[number - len(words) - 1].startswith("///"):
                    words.insert(0, lines[number - len(words) - 1].removeprefix("///").strip())
                said = check.replace("_", " ").capitalize()
                return f"{path.relative_to(ROOT)}:{number + 1}", f"{said}. {' '.join(words)}".strip()
    return "tests/all/conformance", check


def places(folder, words):
    """The files of a folder, tests left out, that have one of these words."""
    paths = sorted((ROOT / folder).rglob("*.rs")) if (ROOT / folder).is_dir() else []
    named = [
        path.relative_to(ROOT) for path in paths if any(word in path.read_text(encoding="utf-8") for word in words)
    ]
    return [f"`{path}`" for path in named if not path.stem.endswith("tests")]


def modelled(service, calls):
    """Where the simulator answers these calls."""
    folder = MODELS[service]
    return ", ".join(places(folder, [f'"{call}"' for call in calls])) or f"`{folder}`"


def relied_on(calls):
    """The program's files that make one of these calls."""
    methods = ["." + re.sub(r"(?<!^)([A-Z])", r"_\1", call).lower() + "()" for call in calls]
    return ", ".join(places("src", methods)) or "no file of the program makes these calls"


def listed(check):
    """What the list of differences says of a statement."""
    text = (ROOT / "tests/all/conformance/differs.rs").read_text(encoding="utf-8")
    number = text.count(f'"{check}"')
    until = "`AWS` there, until statement and simulator are changed"
    if not number:
        return f"{until}; then each emulator that does as stated now"
    return f"{until}; {number} emulator{'s are' if number > 1 else ' is'} listed, and perhaps right"
